"""Claims, heartbeats and ends of trials, with real processes on a real PostgreSQL."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import text
from study_helpers import DEADLINE_S, TERMINATE, StudyHarness, WorkerProcess

from venation.errors import UserError
from venation.leases.budget import count_states, is_finished, within_budget
from venation.leases.claim import claim
from venation.leases.history import attempts
from venation.leases.lease import DATABASE_ERRORS, Lease, LeaseLost
from venation.search.handle import StudyHandle
from venation.search.spec import StudySpec
from venation.storage.artifacts import list_files, store_file
from venation.storage.attributes import CREATED, HISTORY, METRICS, STARTED
from venation.studies.registry import delete_study
from venation.workers.objective import Result
from venation.workers.trial_outcome import TrialOutcome

_OPEN = """
from optuna.trial import TrialState
from venation.leases.claim import claim
from venation.studies.registry import open_study
from venation.storage.database import open_storage
handle = open_study(open_storage({url!r}), "soy")
"""
_CLAIM_AND_HANG = """
import threading
with claim(handle, max_losses=3) as lease:
    handle.spec.space.suggest(lease.trial, handle.spec.config)
    lease.trial.report(0.25, 0)
    threading.Event().wait()
"""

StartPython = Callable[[str], WorkerProcess]


def take(handle: StudyHandle, max_losses: int = 3) -> Lease:
    lease = claim(handle, max_losses=max_losses)
    assert lease is not None
    return lease


def test_a_killed_worker_s_trial_comes_back_after_the_grace_with_its_params(
    harness: StudyHarness, start_python: StartPython, postgres_url: str
) -> None:
    handle = harness.create(heartbeat=0.4)
    worker = start_python(_OPEN.format(url=postgres_url) + _CLAIM_AND_HANG)
    worker.wait_until(lambda: bool(handle.study.trials[0].intermediate_values))
    before = handle.study.trials[0]
    assert claim(handle, max_losses=3) is None, "it is alive"
    worker.send(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    killed = time.monotonic()
    while (lease := claim(handle, max_losses=3)) is None:
        assert time.monotonic() < killed + DEADLINE_S
    after = handle.study.trials[0]
    assert (lease.trial.number, after.state) == (0, TrialState.RUNNING)
    assert after.params == before.params != {}
    assert after.intermediate_values == {0: 0.25}
    handle.spec.space.suggest(lease.trial, handle.spec.config)
    assert lease.trial.params == before.params, "the params are not sampled again"
    lease.end(TrialState.COMPLETE, 1.0)
    assert is_finished(handle)


def test_a_worker_silent_beyond_the_grace_loses_the_trial(harness: StudyHarness) -> None:
    handle = harness.create()
    former = take(handle)
    former.check()
    harness.silence()
    owner = take(handle)
    assert owner.trial.number == former.trial.number
    for state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING):
        with pytest.raises(LeaseLost, match="trial 0 of study `soy` went to another worker"):
            former.end(state, 0.1 if state == TrialState.COMPLETE else None, cause="late")
    owner.check()
    owner.end(TrialState.COMPLETE, 0.9)
    with pytest.raises(LeaseLost):
        former.check()
    (trial,) = handle.study.trials
    assert (trial.value, trial.user_attrs) == (0.9, {}) and HISTORY.get(trial)
    assert [(each["attempt"], each["end"]) for each in attempts(trial)] == [(1, "lost"), (2, "complete")]


def test_a_trial_ends_once(harness: StudyHarness) -> None:
    lease = take(harness.create())
    lease.end(TrialState.COMPLETE, 0.5)
    with pytest.raises(LeaseLost):
        lease.end(TrialState.COMPLETE, 0.6)


def test_a_trial_that_costs_too_many_workers_fails_with_its_cause(harness: StudyHarness) -> None:
    handle = harness.create()
    for _ in range(3):
        assert take(handle, max_losses=2).trial.number == 0
        harness.silence()
    assert claim(handle, max_losses=2) is None
    (trial,) = handle.study.trials
    assert (trial.state, trial.user_attrs["cause"]) == (
        TrialState.FAIL,
        "lost: 3 workers died while running this trial",
    )
    assert is_finished(handle)


def test_a_trial_handed_back_is_claimed_next_without_a_loss(harness: StudyHarness) -> None:
    handle = harness.create(trials=3)
    for _ in range(5):
        lease = take(handle, max_losses=0)
        assert lease.trial.number == 0
        lease.end(TrialState.WAITING)
    assert count_states(handle) == {TrialState.WAITING: 1}


def test_the_heartbeat_survives_a_lost_connection(harness: StudyHarness) -> None:
    handle = harness.create(heartbeat=0.05)
    last = text("SELECT max(heartbeat) FROM trial_heartbeats")
    with take(handle), harness.storage.engine.connect() as connection:
        connection.execute(text(TERMINATE))
        ended = connection.scalar(text("SELECT clock_timestamp()::timestamp"))
        deadline = time.monotonic() + DEADLINE_S
        while connection.scalar(last) <= ended:
            connection.rollback()
            assert time.monotonic() < deadline


def test_a_timeout_ends_new_trials_but_not_one_handed_back(harness: StudyHarness) -> None:
    handle = harness.create(trials=None, timeout=3600.0)
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    lease = take(handle)
    handle.study.set_user_attr(CREATED.key, (datetime.now(UTC) - timedelta(days=2)).isoformat())
    assert within_budget(handle), "its time counts from the first claim"
    handle.study.set_user_attr(STARTED.key, handle.study.user_attrs[STARTED.key] - 7200.0)
    assert claim(handle, max_losses=3) is None
    assert not is_finished(handle), "one is still running"
    lease.end(TrialState.WAITING)
    harness.end_next(handle, TrialState.COMPLETE, 0.7)
    assert is_finished(handle) and len(handle.study.trials) == 2


def test_each_trial_has_its_own_sampler(harness: StudyHarness) -> None:
    first, second = (harness.create(name, sampler="random", trials=4) for name in ("a", "b"))
    params = []
    for handle in (first, second):
        for _ in range(4):
            lease = take(handle)
            handle.spec.space.suggest(lease.trial, handle.spec.config)
            lease.end(TrialState.COMPLETE, 0.5)
        params.append([trial.params for trial in handle.study.trials])
    assert params[0] == params[1]
    assert len({each["train.lr"] for each in params[0]}) == 4


def test_a_deleted_study_is_a_one_line_error(harness: StudyHarness) -> None:
    handle = harness.create(trials=3)
    lease = take(handle)
    delete_study(harness.storage, handle.study.study_name, harness.artifacts)
    with pytest.raises(LeaseLost, match="trial 0 of study `soy` was deleted"):
        lease.end(TrialState.COMPLETE, 0.5)
    with pytest.raises(UserError, match="study `soy` was deleted"):
        claim(handle, max_losses=3)
    assert optuna.get_all_study_names(harness.storage) == []


def while_prepared(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Call ``happens`` once, before the next claimed trial is sampled."""
    build = StudySpec.build_sampler

    def build_sampler(spec: StudySpec, number: int) -> optuna.samplers.BaseSampler:
        monkeypatch.setattr(StudySpec, "build_sampler", build)
        happens()
        return build(spec, number)

    monkeypatch.setattr(StudySpec, "build_sampler", build_sampler)


def test_the_heartbeat_runs_while_earlier_trials_are_read(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(heartbeat=0.05)
    late = text("SELECT count(*) FROM trials JOIN trial_heartbeats USING (trial_id) WHERE heartbeat > datetime_start")

    def wait_for_heartbeat() -> None:
        deadline = time.monotonic() + DEADLINE_S
        harness.sql("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'")
        while True:
            with harness.storage.engine.connect() as connection:
                if connection.scalar(late):
                    return
            assert time.monotonic() < deadline

    while_prepared(monkeypatch, wait_for_heartbeat)
    assert take(handle).trial.number == 0


def test_a_trial_that_cannot_be_prepared_is_handed_back(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = harness.create()
    error = optuna.exceptions.StorageInternalError("the server went away")

    def fail() -> None:
        raise error

    while_prepared(monkeypatch, fail)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        claim(handle, max_losses=3)
    assert count_states(handle) == {TrialState.WAITING: 1}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("heartbeat-")]
    assert take(handle, max_losses=0).trial.number == 0


def test_a_study_deleted_while_a_trial_is_prepared_is_a_one_line_error(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    while_prepared(monkeypatch, lambda: delete_study(harness.storage, "soy", harness.artifacts))
    with pytest.raises(UserError, match="study `soy` was deleted"):
        claim(handle, max_losses=3)


def test_records_of_an_end_commit_with_it_or_not_at_all(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    lease, context = take(handle), harness.context(handle)
    (tmp_path / "weights").write_bytes(b"weights")
    end = TrialOutcome(
        TrialState.COMPLETE, Result(0.5, {"accuracy": 0.5}, (store_file(harness.artifacts, tmp_path / "weights"),))
    )
    record = Result.record

    def record_and_lose_the_lock(result: Result, *arguments: Any) -> None:
        record(result, *arguments)
        harness.sql(TERMINATE)

    with monkeypatch.context() as patch:
        patch.setattr(Result, "record", record_and_lose_the_lock)
        with pytest.raises(DATABASE_ERRORS):
            end.record(context, lease)
    (trial,) = handle.study.get_trials()
    assert trial.state == TrialState.RUNNING and METRICS.get(trial) is None
    assert list_files(trial, storage=harness.storage) == []
    end.record(context, lease)
    (trial,) = handle.study.get_trials()
    assert METRICS.get(trial) == {"accuracy": 0.5}
    (known,) = optuna.artifacts.get_all_artifact_meta(trial, storage=harness.storage)
    assert (known.filename, [known.artifact_id]) == ("weights", [file.artifact_id for file in end.result.files])
