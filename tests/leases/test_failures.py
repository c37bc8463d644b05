"""Failure causes and the worker's actions, with a fake trial that ends as the test says."""

import errno
from collections.abc import Callable
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, refuse, rows, succeed
from study_helpers import StudyHarness

from venation.errors import DataError, UsageError, UserError
from venation.leases import failures
from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.leases.failures import (
    FIRST_DELAY,
    LONGEST_DELAY,
    MAX_TRIES,
    DeviceFailed,
    FailureAction,
    classify_error,
    failed_retries,
    retry_delay,
)
from venation.leases.history import attempts
from venation.search.handle import StudyHandle
from venation.storage.store_protocol import StoreFailed
from venation.trials.errors import CheckpointMismatch, TrialFailed
from venation.workers import worker

Run = Callable[[optuna.Trial], float]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)


@pytest.fixture
def each_does(trials_do: Callable[..., None]) -> Callable[[Run], None]:
    """Replace the run of every trial by this function of the trial."""
    return lambda run: trials_do(lambda _bench, trial, _check: run(trial))


def ends(handle: StudyHandle, number: int = 0) -> list[Any]:
    return [attempt["end"] for attempt in attempts(handle.study.get_trials()[number])]


@pytest.mark.parametrize(
    ("error", "name", "then"),
    [
        (TrialFailed("nan", "training bce became nan in epoch 3"), "nan", FailureAction.FAIL),
        (TrialFailed("oom", "out of memory in epoch 1"), "oom", FailureAction.FAIL),
        (torch.OutOfMemoryError("CUDA"), "oom", FailureAction.FAIL),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom", FailureAction.FAIL),
        (UsageError("no such field"), "config", FailureAction.FAIL),
        (DataError("leaf.png is gone"), "data", FailureAction.SUSPEND),
        (CheckpointMismatch("damaged"), "checkpoint", FailureAction.RESTART),
        (UserError("cannot write artifact: No space left on device"), "infrastructure", FailureAction.RETRY),
        (OSError(errno.ENOSPC, "No space left on device"), "infrastructure", FailureAction.RETRY),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "infrastructure", FailureAction.RETRY),
        (OSError(errno.EMFILE, "Too many open files"), "infrastructure", FailureAction.RETRY),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors"),
            "device",
            FailureAction.RETRY,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"), "device", FailureAction.RETRY),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "bug", FailureAction.STOP_WORKER),
        (FileNotFoundError(errno.ENOENT, "no such file"), "bug", FailureAction.STOP_WORKER),
        (RuntimeError("size mismatch"), "bug", FailureAction.STOP_WORKER),
        (ZeroDivisionError("deep inside"), "bug", FailureAction.STOP_WORKER),
    ],
)
def test_every_exception_has_one_cause(error: Exception, name: str, then: FailureAction) -> None:
    cause, said = classify_error(error)
    assert (cause.name, cause.action) == (name, then)
    assert said


def test_delays_double_to_a_limit_and_differ_by_trial() -> None:
    for tries in range(12):
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2**tries)
        drawn = [retry_delay(tries, seed) for seed in range(50)]
        assert all(longest / 2 <= each <= longest for each in drawn) and len(set(drawn)) == 50
        assert drawn == [retry_delay(tries, seed) for seed in range(50)]


def test_only_retries_without_progress_count() -> None:
    past = [{"end": end, "epochs": epochs} for end, epochs in [("infrastructure", 1), ("database", 2), ("lost", 2)]]
    assert failed_retries(past, 2) == 0
    assert failed_retries(past[:2], 2) == 1
    assert failed_retries([*past, {"end": "infrastructure", "epochs": 2}, {"end": "database", "epochs": 2}], 2) == 2
    assert failed_retries(past[:2], 3) == 0


def test_store_and_disk_errors_are_retried_later_while_other_trials_run(
    harness: StudyHarness, each_does: Callable[[Run], None], caplog: pytest.LogCaptureFixture
) -> None:
    order: list[int] = []
    outages = [UserError("cannot write artifact 1: no space"), OSError(errno.ENOSPC, "No space")]

    def run(trial: optuna.Trial) -> float:
        order.append(trial.number)
        if trial.number == 0 and order.count(0) <= len(outages):
            raise outages[order.count(0) - 1]
        return 0.5

    each_does(run)
    handle = harness.create(trials=2, heartbeat=0.2)
    assert harness.work(handle) == 2
    assert count_states(handle) == {TrialState.COMPLETE: 2}
    assert order[0] == 0 and sorted(order) == [0, 0, 0, 1]
    assert ends(handle) == ["infrastructure", "infrastructure", "complete"]
    assert "cause" not in handle.study.get_trials()[0].user_attrs, "it ended well"
    assert "study soy trial 0: infrastructure: cannot write artifact 1: no space" in caplog.text


def test_a_trial_with_a_retry_delay_cannot_be_claimed(harness: StudyHarness, each_does: Callable[[Run], None]) -> None:
    each_does(lambda _trial: raise_(UserError("the store is away")))
    for rungs in (False, True):
        options = {"pruner": "asha", "first_rung": 1, "settings": {"train.epochs": 4}} if rungs else {}
        handle = harness.create(f"soy-{rungs}", trials=1, heartbeat=3600.0, **options)
        lease = claim(handle, max_losses=3)
        assert lease is not None
        lease.end(TrialState.WAITING, ending="infrastructure", delay=3600.0)
        assert claim(handle, max_losses=3) is None
        harness.sql("UPDATE trial_system_attributes SET value_json = '1.5' WHERE key = 'venation:not_before'")
        lease = claim(handle, max_losses=3)
        assert lease is not None and lease.trial.number == 0 and lease.attempt == 2


def test_a_failed_gpu_ends_the_worker_and_not_the_trial(
    harness: StudyHarness, each_does: Callable[[Run], None], postgres_url: str
) -> None:
    handle = harness.create()
    places = ("--device", "cpu", "--storage", postgres_url, "--artifacts", harness.artifacts.folder)
    each_does(lambda _trial: raise_(torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nmore")))
    says = ("study soy trial 0: AcceleratorError: CUDA error: uncorrectable ECC error encountered; this worker ends",)
    refuse(DeviceFailed.exit_code, "worker", "soy", "--until-idle", *places, says=says)
    assert count_states(handle) == {TrialState.WAITING: 1}
    harness.sql("UPDATE trial_system_attributes SET value_json = '1.5' WHERE key = 'venation:not_before'")
    each_does(lambda _trial: 0.5)
    assert harness.work(handle) == 1
    assert ends(handle) == ["device", "complete"]


def test_a_trial_fails_with_its_cause_after_too_many_retries(
    harness: StudyHarness, each_does: Callable[[Run], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "LONGEST_DELAY", 0.1)
    each_does(lambda _trial: raise_(UserError("the store is away")))
    handle = harness.create(trials=1, heartbeat=0.1)
    assert harness.work(handle) == 1
    (trial,) = handle.study.get_trials()
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["cause"] == f"infrastructure: the store is away (given up after {MAX_TRIES + 1} attempts)"
    assert ends(handle) == ["infrastructure"] * (MAX_TRIES + 1)


def test_missing_data_suspend_the_study_until_it_is_resumed(
    harness: StudyHarness, each_does: Callable[[Run], None], postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    gone = [True]
    each_does(lambda trial: raise_(DataError("leaf_003.png is gone; bring it back.")) if gone[0] else 0.5)
    handle, other = harness.create(trials=2), harness.create("other", trials=1)
    with pytest.raises(DataError, match="leaf_003.png is gone"):
        harness.work(handle)
    assert count_states(handle) == {TrialState.WAITING: 1}
    assert handle.study.user_attrs["paused"] == "leaf_003.png is gone; bring it back."
    assert handle.study.get_trials()[0].user_attrs["cause"] == "data: leaf_003.png is gone; bring it back."
    assert claim(handle, max_losses=3) is None
    gone[0] = False
    with pytest.raises(UserError, match=r"study `soy` is paused \(leaf_003.png is gone.*`venation study resume soy`"):
        harness.work(handle, other)
    assert count_states(other) == {TrialState.COMPLETE: 1}, "the others go on"
    at = ("--storage", postgres_url)
    places = ("--device", "cpu", *at, "--artifacts", harness.artifacts.folder)
    says = ("study `soy` is paused", "leaf_003.png", "venation study resume soy")
    refuse(EXPECTED_FAILURE, "worker", "soy", "--until-idle", *places, says=says)
    succeed("study", "resume", "soy", *at)
    assert harness.work(handle) == 2
    assert count_states(handle) == {TrialState.COMPLETE: 2}
    succeed("study", "resume", "soy", *at)


def test_a_store_that_fails_at_the_end_of_a_trial_does_not_end_the_worker(
    harness: StudyHarness,
    each_does: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def away(_artifact_id: str) -> None:
        raise StoreFailed("the store does not answer")

    each_does(lambda _trial: 0.5)
    monkeypatch.setattr(harness.artifacts, "remove", away)
    handle = harness.create(trials=2)
    assert harness.work(handle) == 2
    assert count_states(handle) == {TrialState.COMPLETE: 2}
    assert "a checkpoint stays until it is collected: the store does not answer" in caplog.text


def test_a_nan_value_fails_the_trial_and_the_study_continues(
    harness: StudyHarness, each_does: Callable[[Run], None]
) -> None:
    each_does(lambda trial: float("nan") if trial.number == 0 else 0.5)
    handle = harness.create(trials=2)
    assert harness.work(handle) == 2
    failed, complete = handle.study.get_trials()
    assert (failed.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert failed.user_attrs["cause"].startswith("nan: ")


def test_trial_why_explains_the_cause(
    harness: StudyHarness, each_does: Callable[[Run], None], postgres_url: str
) -> None:
    each_does(lambda _trial: raise_(TrialFailed("nan", "training bce became nan in epoch 3: lower train.lr")))
    harness.work(harness.create())
    row = rows("trial", "why", "soy", 0, "--storage", postgres_url)
    assert row["cause"] == "nan: training bce became nan in epoch 3: lower train.lr"
    assert row["means"] == "a loss or a metric became NaN"
    assert row["then"].startswith("the trial failed") and row["drawn"] == "the recipe itself"
    assert [attempt["end"] for attempt in row["attempts"]] == ["nan"]
    shown = succeed("trial", "why", "soy", 0, "--storage", postgres_url)
    assert "training bce became nan in epoch 3" in shown and "the recipe itself" in shown


def raise_(error: BaseException) -> float:
    raise error
