"""The reaper puts trials of silent workers back to WAITING, and no others."""

import signal
from collections.abc import Callable

import pytest
from optuna.trial import TrialState
from small_bundle import succeed
from study_helpers import StudyHarness, WorkerProcess

from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.leases.history import attempts
from venation.leases.lease import Lease
from venation.leases.reaper import reap
from venation.search.handle import StudyHandle
from venation.storage.attributes import SPEC
from venation.studies.registry import delete_study
from venation.upkeep.reap_all import reap_once

_REAPER = """
sys.argv = ["venation", "worker", "reap", "--interval", "0.1", "--storage", {url!r}]
from venation.cli import app
app()
"""


def take(handle: StudyHandle, max_losses: int = 3) -> Lease:
    lease = claim(handle, max_losses=max_losses)
    assert lease is not None
    return lease


def test_reaper_once_lists_the_trials_of_all_studies(harness: StudyHarness, postgres_url: str) -> None:
    soy, say, calm = (harness.create(name, trials=3) for name in ("soy", "say", "calm"))
    for handle in (soy, soy, say):
        take(handle)
    harness.silence()
    take(calm)
    assert succeed("worker", "reap", "--once", "--storage", postgres_url) == "say: 0\nsoy: 0 1\n"
    assert count_states(soy) == {TrialState.WAITING: 2}
    assert count_states(calm) == {TrialState.RUNNING: 1}, "it is alive"
    assert succeed("worker", "reap", "--once", "--storage", postgres_url) == ""


def test_an_unreadable_study_does_not_stop_the_reaper(harness: StudyHarness) -> None:
    soy, foreign, gone = harness.create("soy"), harness.create("foreign"), harness.create("gone")
    for handle in (soy, foreign):
        take(handle)
    foreign.study.set_user_attr(SPEC.key, {"kind": "of tomorrow"})
    delete_study(harness.storage, gone.study.study_name, harness.artifacts)
    harness.silence()
    assert reap_once(harness.storage, max_losses=3) == {"soy": [0]}


def test_the_reaper_fails_a_trial_that_lost_too_many_workers(
    harness: StudyHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    handle = harness.create()
    for _ in range(2):
        take(handle)
        harness.silence()
        assert reap(handle, max_losses=1) == [0]
    (trial,) = handle.study.get_trials()
    assert (trial.state, trial.user_attrs["cause"]) == (
        TrialState.FAIL,
        "lost: 2 workers died while running this trial",
    )
    assert [(a["attempt"], a["end"]) for a in attempts(trial)] == [(1, "lost"), (2, "lost")]
    failed = "FAIL (lost: 2 workers died while running this trial); see `venation trial why soy 0`"
    assert caplog.messages[-2:] == ["study soy trial 0: its worker fell silent", f"study soy trial 0: {failed}"]


@pytest.mark.parametrize(("hours", "found"), [(20, []), (200, [0])])
def test_after_server_downtime_every_worker_gets_a_full_grace_period(
    harness: StudyHarness, hours: int, found: list[int]
) -> None:
    # A grace of twelve hours is longer than this server has run.
    handle = harness.create(heartbeat=3600.0)
    take(handle)
    start = "timezone('utc', pg_postmaster_start_time())"
    harness.sql(f"UPDATE trial_heartbeats SET heartbeat = {start} - interval '{hours} hours'")
    assert reap(handle, max_losses=3) == found


def test_a_reaper_runs_until_sigterm(
    harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    handle = harness.create(heartbeat=0.1)
    reaper = start_python(_REAPER.format(url=postgres_url))
    take(handle)  # without a heartbeat from now on
    reaper.wait_until(lambda: count_states(handle) == {TrialState.WAITING: 1})
    reaper.send(signal.SIGTERM)
    assert reaper.wait() == 0, reaper.log.read_text()
    assert "study soy trial 0: its worker fell silent" in reaper.log.read_text()


def test_a_trial_with_progress_may_lose_any_number_of_workers(harness: StudyHarness) -> None:
    handle = harness.create()
    for epoch in range(4):
        take(handle, max_losses=1).trial.report(0.5, epoch)
        harness.silence()
    take(handle, max_losses=1).end(TrialState.WAITING)  # handed back without progress
    take(handle, max_losses=1)
    harness.silence()
    assert reap(handle, max_losses=1) == [0]
    (trial,) = handle.study.get_trials()
    assert [(a["end"], a["epochs"]) for a in attempts(trial)] == [
        *[("lost", epochs) for epochs in (1, 2, 3, 4)],
        ("handed back", 4),
        ("lost", 4),
    ]
    assert (trial.state, trial.user_attrs["cause"]) == (
        TrialState.FAIL,
        "lost: 2 workers died while running this trial",
    )


def test_a_trial_that_another_tool_asked_for_and_abandoned_is_run(harness: StudyHarness) -> None:
    handle = harness.create()
    handle.study.ask()
    assert reap(handle, max_losses=3) == [0]
    assert reap(handle, max_losses=3) == []
    lease = take(handle)
    assert lease.trial.number == 0
    lease.end(TrialState.COMPLETE, 0.5)
    assert count_states(handle) == {TrialState.COMPLETE: 1}
