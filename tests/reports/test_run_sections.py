from datetime import datetime, timedelta

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from venation.reports.run_sections import hours
from venation.storage.attributes import HISTORY


def trial(seconds: float, attempts: list[tuple[str, str]]) -> FrozenTrial:
    past = [
        {
            "attempt": n,
            "host": "h",
            "pid": 1,
            "device": "cpu",
            "started": start,
            "ended": end,
            "epochs": 1,
            "end": "lost",
        }
        for n, (start, end) in enumerate(attempts, start=1)
    ]
    found = create_trial(state=TrialState.COMPLETE, value=1.0, user_attrs={HISTORY.key: past} if past else {})
    found.datetime_start = datetime(2026, 1, 1)
    found.datetime_complete = found.datetime_start + timedelta(seconds=seconds)
    return found


def test_hours_are_those_of_all_attempts_without_the_time_between() -> None:
    twice = [
        ("2026-01-01T00:00:00+00:00", "2026-01-01T00:30:00+00:00"),
        ("2026-01-02T00:00:00+00:00", "2026-01-02T01:00:00+00:00"),
    ]
    assert hours([trial(90_000, twice)]) == pytest.approx(1.5)
    # Without a history, as in a database of another program, a trial's own times count.
    assert hours([trial(7200, []), trial(90_000, twice)]) == pytest.approx(3.5)
