"""Suspended workers that resume too late, and stopped workers, by real signals."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sqlalchemy import text
from study_helpers import DEADLINE_S, Pause, StudyHarness, WorkerProcess

from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.leases.history import attempts
from venation.leases.lease import Lease
from venation.search.handle import StudyHandle
from venation.storage.artifacts import write_blob
from venation.studies.registry import checkpoint_id
from venation.workers import reporting, worker
from venation.workers.checkpoint_store import CheckpointStore
from venation.workers.objective import Result

_BUSY = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'")


def take(handle: StudyHandle) -> Lease:
    lease = claim(handle, max_losses=3)
    assert lease is not None
    return lease


def freeze(harness: StudyHarness, process: WorkerProcess) -> None:
    """Suspend the process between statements: else its locks block others for a minute."""

    def frozen() -> bool:
        process.send(signal.SIGSTOP)
        with harness.storage.engine.connect() as connection:
            others = (connection.scalar(_BUSY) or 1) - 1
        if others:
            process.send(signal.SIGCONT)
        return not others

    process.wait_until(frozen)


def files(harness: StudyHarness) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in harness.artifacts.folder.iterdir() if path.is_file()}


def test_a_worker_that_resumes_too_late_loses_its_trial_and_continues(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess]
) -> None:
    handle, other = harness.create(heartbeat=0.25, settings={"train.epochs": 12}), harness.create("say")
    sleeper = start_worker("soy", "say", "--until-idle")
    sleeper.wait_until(lambda: bool(handle.study.trials[0].intermediate_values))
    freeze(harness, sleeper)
    assert count_states(handle) == {TrialState.RUNNING: 1}
    assert harness.work(handle) == 1
    first = handle.study.get_trials()[0]
    # Without the suspended worker's log, which it may complete.
    made = {name: content for name, content in files(harness).items() if not name.endswith("-log-1.jsonl")}
    assert first.state == TrialState.COMPLETE
    assert [attempt["end"] for attempt in attempts(first)] == ["lost", "complete"]
    sleeper.send(signal.SIGCONT)
    assert sleeper.wait() == 0, sleeper.log.read_text()
    log = sleeper.log.read_text()
    assert "trial 0 of study `soy` went to another worker; this worker drops it" in log
    assert "1 trial ended" in log, "it continued with the other study"
    again = handle.study.get_trials()[0]
    assert again == first, "the first result is kept"
    assert files(harness).items() >= made.items()
    assert not list(harness.artifacts.folder.glob("*-checkpoint*"))
    assert count_states(handle) == count_states(other) == {TrialState.COMPLETE: 1}


def test_a_worker_that_waits_for_more_trials_logs_it_once(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess]
) -> None:
    handle = harness.create(trials=1)
    message = "every study has ended; waiting for more trials: Ctrl-C stops this worker"
    patient = start_worker("soy")
    patient.wait_until(lambda: patient.log.exists() and message in patient.log.read_text())
    assert count_states(handle) == {TrialState.COMPLETE: 1}
    handle.study.enqueue_trial({})
    patient.wait_until(lambda: count_states(handle) == {TrialState.COMPLETE: 2})
    patient.wait_until(lambda: patient.log.read_text().count(message) == 2)
    patient.send(signal.SIGINT)
    assert patient.wait() == 0 and patient.log.read_text().count(message) == 2


def test_a_former_owner_s_late_checkpoint_does_not_replace_the_new_one(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create()
    context = harness.context(handle)
    for name in ("early", "late", "new"):
        (tmp_path / name).write_bytes(name.encode())
    former = take(handle)
    CheckpointStore(context, former).save(tmp_path / "early")
    harness.silence()
    owner = take(handle)
    assert (former.attempt, owner.attempt) == (1, 2)
    kept = CheckpointStore(context, owner)
    assert kept.restore(tmp_path / "back") and (tmp_path / "back").read_bytes() == b"early"
    kept.save(tmp_path / "new")
    # Suspended after its check, resumed after the new owner's first epoch.
    write_blob(harness.artifacts, checkpoint_id(handle, 0, 1), tmp_path / "late")
    CheckpointStore(context, former).drop_stale()
    assert kept.restore(tmp_path / "back") and (tmp_path / "back").read_bytes() == b"new"
    owner.end(TrialState.COMPLETE, 0.5)
    kept.drop()
    assert not list(harness.artifacts.folder.glob("*-checkpoint*"))
    write_blob(harness.artifacts, checkpoint_id(handle, 0, 1), tmp_path / "late")
    CheckpointStore(context, former).drop_stale()
    assert not list(harness.artifacts.folder.glob("*-checkpoint*"))


def test_a_former_owner_sends_no_heartbeats_for_the_new_one(harness: StudyHarness) -> None:
    handle = harness.create(heartbeat=0.05)
    with take(handle) as former:
        harness.sql("UPDATE trial_system_attributes SET value_json = '\"other\"' WHERE key = 'venation:lease'")
        former._thread.join(DEADLINE_S)
        assert not former._thread.is_alive()


def test_an_epoch_longer_than_the_drain_is_interrupted(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_trial(*_: Any) -> Result:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert not threading.Event().wait(DEADLINE_S), "never set"
        raise AssertionError("the epoch was waited for")

    monkeypatch.setattr(worker, "run_trial", run_trial)
    handle = harness.create()
    before = signal.getsignal(signal.SIGUSR1)
    assert harness.work(handle, drain=0.1) == 0
    assert signal.getsignal(signal.SIGUSR1) == before
    assert count_states(handle) == {TrialState.WAITING: 1}
    assert [attempt["end"] for attempt in attempts(handle.study.get_trials()[0])] == ["handed back"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_worker_with_drain_zero_hands_its_trial_back(
    harness: StudyHarness,
    start_worker: Callable[..., WorkerProcess],
    pause_at: Callable[[int], Pause],
    number: signal.Signals,
) -> None:
    handle = harness.create(settings={"train.epochs": 3})
    pause, worker_process = pause_at(1), start_worker("soy", "--drain", "0")
    pause.wait(worker_process)
    worker_process.send(number)
    pause.release()
    assert worker_process.wait() == 0, worker_process.log.read_text()
    assert "trial 0: handed back" in worker_process.log.read_text()
    assert count_states(handle) == {TrialState.WAITING: 1}
    (trial,) = handle.study.get_trials()
    assert [attempt["end"] for attempt in attempts(trial)] == ["handed back"] and "cause" not in trial.user_attrs


def test_a_booster_trial_handed_back_ends_with_the_same_result(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    soy = harness.create()
    boost = harness.create("boost", "booster", base="soy", pruner=None)
    assert harness.work(soy) == 1
    reports: list[int] = []
    report = reporting.TrialReporter.__call__

    def tell_to_stop(self: Any, *arguments: Any) -> None:
        reports.append(1)
        if len(reports) == 1:
            signal.raise_signal(signal.SIGTERM)
        report(self, *arguments)

    monkeypatch.setattr(reporting.TrialReporter, "__call__", tell_to_stop)
    assert harness.work(boost) == 0
    assert count_states(boost) == {TrialState.WAITING: 1} and len(reports) == 1
    assert harness.work(boost) == 1
    calm = harness.create("calm", "booster", base="soy", pruner=None)
    assert harness.work(calm) == 1
    (disturbed,), (undisturbed,) = boost.study.get_trials(), calm.study.get_trials()
    assert (disturbed.values, disturbed.intermediate_values) == (undisturbed.values, undisturbed.intermediate_values)
