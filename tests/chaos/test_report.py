"""The report of a chaos run: lost leases are counted, and their absence is a violation."""

import pytest

from venation.chaos.report import ENOUGH_SILENCES, Report


@pytest.mark.parametrize(("silences", "lost", "broken"), [(0, 0, 0), (3, 0, 0), (4, 1, 0), (4, 0, 1), (40, 0, 1)])
def test_long_silences_without_a_lost_lease_are_a_violation(silences: int, lost: int, broken: int) -> None:
    assert ENOUGH_SILENCES == 4
    # Leases of killed workers prove nothing: the violation is about those that lived.
    report = Report(seed=0, long_silences=silences, lost_leases=lost + 3, lost_by_living=lost)
    report.check_lost_leases()
    assert len(report.violations) == broken
    assert all(f"{silences} faults outlasted the grace" in violation for violation in report.violations)


def test_row_shows_the_lost_leases() -> None:
    row = Report(seed=0, long_silences=7, lost_leases=5, lost_by_living=3).row()
    assert (row["silences beyond the grace"], row["lost leases"], row["lost by living workers"]) == (7, 5, 3)


def test_a_kind_that_never_occurred_is_a_violation() -> None:
    report = Report(seed=0)
    report.faults["kill"] = 2
    report.check_kinds(["kill", "failover"])
    assert [line.split(":")[0] for line in report.violations] == ["no fault failover in this run"]
