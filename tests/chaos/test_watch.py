"""A study watched while it runs: ends that change and a best value that worsens are found."""

from study_helpers import StudyHarness

from venation.chaos.watch import Watch, best_worsened, changed_ends


def test_a_best_value_may_only_become_better() -> None:
    assert not best_worsened([0.1, 0.1, 0.3], maximise=True) and best_worsened([0.1, 0.3, 0.2], maximise=True)
    assert not best_worsened([3.0, 2.0], maximise=False) and best_worsened([2.0, 3.0], maximise=False)
    assert not best_worsened([], maximise=True)


def test_an_end_that_changes_or_vanishes_is_described() -> None:
    before = {0: ("COMPLETE", 0.5), 1: ("PRUNED", None)}
    assert changed_ends(before, before | {2: ("RUNNING", None)}) == []
    assert changed_ends(before, {0: ("COMPLETE", 0.25)}) == [
        "0: it had ended as ('COMPLETE', 0.5), and is now ('COMPLETE', 0.25)",
        "1: it had ended as ('PRUNED', None), and is now None",
    ]


def test_a_completed_trial_that_a_failover_would_lose_is_found(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    watch = Watch(handle)
    watch.sample()
    harness.work(handle)
    watch.sample()
    assert watch.violations() == []
    harness.sql("UPDATE trials SET state = 'WAITING' WHERE number = 1")
    watch.sample()
    (found,) = watch.violations()
    assert found.startswith("soy:1: it had ended as ('COMPLETE', ") and "now ('WAITING', " in found
