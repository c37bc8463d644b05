"""The worker's reaction to each outcome, with a fake trial that ends as the test says."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
import torch
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, ProgrammingError
from study_helpers import StudyHarness

from venation.errors import DataError, UserError
from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.leases.lease import Lease, LeaseLost
from venation.search.handle import StudyHandle
from venation.storage.artifacts import write_blob
from venation.storage.attributes import CONFIG
from venation.studies.registry import checkpoint_id, delete_study
from venation.trials.errors import TrialFailed
from venation.workers import study_queue, worker

Run = Callable[[Any, optuna.Trial, Callable[[], None]], float]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)


def raise_(error: BaseException) -> float:
    raise error


def only_trial(handle: StudyHandle) -> optuna.trial.FrozenTrial:
    (trial,) = handle.study.get_trials()
    return trial


def test_complete_pruned_and_failed_trials_all_count(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    ends: dict[int, Callable[[], float]] = {
        0: lambda: raise_(TrialFailed("nan", "the loss became nan")),
        1: lambda: raise_(optuna.TrialPruned()),
        2: lambda: 0.75,
    }
    trials_do(lambda _context, trial, _check: ends[trial.number]())
    handle = harness.create(trials=3)
    assert harness.work(handle) == 3
    failed, pruned, complete = handle.study.get_trials()
    assert (failed.state, failed.user_attrs["cause"]) == (TrialState.FAIL, "nan: the loss became nan")
    assert pruned.state == TrialState.PRUNED
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 0.75)


def test_the_log_line_of_a_failed_trial_names_the_cause_and_the_command_that_explains_it(
    harness: StudyHarness, trials_do: Callable[[Run], None], caplog: pytest.LogCaptureFixture
) -> None:
    ends: dict[int, Callable[[], float]] = {
        0: lambda: raise_(TrialFailed("nan", "the loss became nan")),
        1: lambda: raise_(optuna.TrialPruned("constraint: 9 parameters are more than 8")),
        2: lambda: raise_(ZeroDivisionError("deep inside")),
    }
    trials_do(lambda _context, trial, _check: ends[trial.number]())
    caplog.set_level("INFO")
    with pytest.raises(ZeroDivisionError):
        harness.work(harness.create(trials=3))
    lines = [line for line in caplog.messages if line.startswith("study soy trial")]
    assert [line for line in lines if "attempt 1, on" not in line] == [
        "study soy trial 0: FAIL (nan: the loss became nan); see `venation trial why soy 0`",
        "study soy trial 1: PRUNED (constraint: 9 parameters are more than 8)",
        "study soy trial 2: FAIL (bug: ZeroDivisionError: deep inside); see `venation trial why soy 2`",
    ]


def test_max_trials_ends_the_worker_but_not_the_study(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    trials_do(lambda *_: 0.5)
    handle = harness.create(trials=5)
    assert harness.work(handle, max_trials=2) == 2
    assert count_states(handle) == {TrialState.COMPLETE: 2}


def test_two_studies_take_turns(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    order: list[str] = []
    trials_do(lambda context, *_: order.append(context.handle.study.study_name) or 0.5)
    harness.work(harness.create("a", trials=2), harness.create("b", trials=2))
    assert order == ["a", "b", "a", "b"]


def test_a_bug_is_raised_and_recorded_with_the_trial(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    trials_do(lambda *_: raise_(ZeroDivisionError("deep inside")))
    handle = harness.create(trials=2)
    with pytest.raises(ZeroDivisionError):
        harness.work(handle)
    trial = only_trial(handle)
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["cause"].startswith("bug: ") and "deep inside" in trial.user_attrs["cause"]


def test_a_statement_error_is_a_bug_and_not_an_outage(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    trials_do(lambda *_: harness.sql("SELECT nonsense"))
    handle = harness.create(trials=2)
    with pytest.raises(ProgrammingError):
        harness.work(handle)
    assert only_trial(handle).user_attrs["cause"].startswith("bug: ")


def test_a_bug_before_sampling_is_recorded_with_the_trial(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(trials=2)
    monkeypatch.setattr(type(handle.spec), "build_sampler", lambda *_: raise_(ZeroDivisionError("no sampler")))
    with pytest.raises(ZeroDivisionError):
        harness.work(handle)
    trial = only_trial(handle)
    assert trial.state == TrialState.FAIL and "no sampler" in trial.user_attrs["cause"]


def test_an_end_with_a_lost_confirmation_counts(
    harness: StudyHarness,
    trials_do: Callable[[Run], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trials_do(lambda *_: 0.5)
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)
    handle, end = harness.create(trials=3), Lease.end

    def end_without_confirmation(self: Lease, *given: Any, **options: Any) -> None:
        end(self, *given, **options)
        raise OperationalError("COMMIT", {}, Exception("the connection broke"))

    monkeypatch.setattr(Lease, "end", end_without_confirmation)
    assert harness.work(handle, max_trials=2) == 2
    assert count_states(handle) == {TrialState.COMPLETE: 2}
    assert "trial 0 of study `soy` had ended before the connection broke" in caplog.text


@pytest.mark.parametrize("what", ["param", "report", "attr", "constraint"])
def test_a_former_owner_writes_nothing_into_the_new_owner_s_run(harness: StudyHarness, what: str) -> None:
    handle = harness.create()
    former = claim(handle, max_losses=3)
    harness.silence()
    owner = claim(handle, max_losses=3)
    assert former is not None and owner is not None
    owner.trial.suggest_float("x", 0, 1)
    owner.trial.report(0.5, 0)
    before = only_trial(handle)
    with pytest.raises(LeaseLost, match="trial 0 of study `soy` went to another worker"):
        match what:
            case "param":
                former.trial.suggest_float("x", 0, 1)
            case "report":
                former.trial.report(0.9, 1)
            case "attr":
                CONFIG.set(former.trial, {})
            case "constraint":
                former.trial.set_constraint("parameters", 1.0)
    assert only_trial(handle) == before


def test_a_trial_is_not_pruned_after_its_last_epoch(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda _: True)
    handle = harness.create(trials=1, settings={"train.epochs": 1})
    longer = harness.create("longer", trials=1, settings={"train.epochs": 2})
    assert harness.work(handle, longer) == 2
    assert only_trial(handle).state == TrialState.COMPLETE
    assert (only_trial(longer).state, len(only_trial(longer).intermediate_values)) == (TrialState.PRUNED, 1)


def test_a_trial_without_its_checkpoint_trains_from_the_first_epoch_with_a_warning(
    harness: StudyHarness, caplog: pytest.LogCaptureFixture
) -> None:
    handle = harness.create(settings={"train.epochs": 2})
    lease = claim(handle, max_losses=3)
    assert lease is not None
    lease.trial.report(0.25, 0)
    lease.end(TrialState.WAITING)
    caplog.set_level("INFO")
    assert harness.work(handle) == 1
    assert "study soy trial 0: its checkpoint is missing: it trains from the first epoch" in caplog.text
    assert caplog.text.count("trial 0: epoch ") == 2 and ": resumed" not in caplog.text
    assert only_trial(handle).intermediate_values[0] == 0.25


def test_missing_data_hand_the_trial_back(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    trials_do(lambda *_: raise_(DataError("the disk is gone; bring it back.")))
    handle = harness.create()
    with pytest.raises(DataError, match="the disk is gone"):
        harness.work(handle)
    assert only_trial(handle).state == TrialState.WAITING


@pytest.mark.parametrize("late", ["report", "value", "failure"])
def test_a_trial_that_another_worker_ended_is_dropped(
    harness: StudyHarness, trials_do: Callable[[Run], None], late: str, caplog: pytest.LogCaptureFixture
) -> None:
    handle = harness.create()

    def run(_context: Any, trial: optuna.Trial, _check: Callable[[], None]) -> float:
        harness.silence()
        other = claim(handle, max_losses=3)
        assert other is not None
        other.end(TrialState.COMPLETE, 0.9)
        if late == "report":
            trial.report(0.1, 5)
        return raise_(TrialFailed("nan", "late")) if late == "failure" else 0.1

    trials_do(run)
    assert harness.work(handle) == 0
    trial = only_trial(handle)
    assert (trial.value, trial.user_attrs, trial.intermediate_values) == (0.9, {}, {})
    assert "trial 0 of study `soy` went to another worker; this worker drops it" in caplog.text


def test_a_study_deleted_under_a_worker_is_a_one_line_error(
    harness: StudyHarness, trials_do: Callable[[Run], None]
) -> None:
    handle = harness.create(trials=2)

    def run(_context: Any, trial: optuna.Trial, _check: Callable[[], None]) -> float:
        delete_study(harness.storage, handle.study.study_name, harness.artifacts)
        trial.report(0.1, 0)
        return 0.1

    trials_do(run)
    with pytest.raises(UserError, match="study `soy` was deleted; start the worker without it"):
        harness.work(handle)


def test_a_study_that_cannot_run_does_not_stop_the_others(
    harness: StudyHarness, trials_do: Callable[[Run], None], caplog: pytest.LogCaptureFixture
) -> None:
    trials_do(lambda *_: 0.5)
    soy, say, veins, lost = (
        harness.create("soy"),
        harness.create("say", trials=2),
        harness.create("veins", "decoder", base="soy"),
        harness.create("lost"),
    )
    contexts = [harness.context(handle) for handle in (lost, veins, say)]
    harness.end_next(soy, TrialState.FAIL)
    delete_study(harness.storage, lost.study.study_name, harness.artifacts)
    with pytest.raises(UserError, match="study `lost` was deleted"):
        worker.work(contexts, until_idle=True)
    assert count_states(say) == {TrialState.COMPLETE: 2}
    assert "study lost is left out" in caplog.text and "study veins is left out: base study `soy`" in caplog.text
    assert caplog.text.count("left out") == 2


def test_a_deleted_study_that_waits_for_its_base_is_a_one_line_error(harness: StudyHarness) -> None:
    harness.create("soy")
    veins = harness.create("veins", "decoder", base="soy")
    context = harness.context(veins)
    delete_study(harness.storage, veins.study.study_name, harness.artifacts)
    with pytest.raises(UserError, match="study `veins` was deleted"):
        worker.work([context])


def test_out_of_memory_outside_an_epoch_fails_only_the_trial(
    harness: StudyHarness, trials_do: Callable[[Run], None]
) -> None:
    trials_do(lambda _context, trial, _check: 0.5 if trial.number else raise_(torch.OutOfMemoryError("CUDA")))
    handle = harness.create(trials=2)
    assert harness.work(handle) == 2
    failed, complete = handle.study.get_trials()
    assert (failed.state, complete.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert failed.user_attrs["cause"].startswith("oom: ")


def test_a_database_that_stays_away_ends_the_worker_in_one_line(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = harness.context(harness.create())
    error = sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("connection refused"))
    monkeypatch.setattr(study_queue, "claim", lambda *_, **__: raise_(error))
    monkeypatch.setattr(worker, "PATIENCE_SECONDS", 0.03)
    with pytest.raises(UserError, match="the database has not answered for .* see `venation db status`"):
        worker.work([context], until_idle=True)


def test_a_second_signal_stops_at_once_and_hands_the_trial_back(
    harness: StudyHarness, trials_do: Callable[[Run], None]
) -> None:
    def run(*_: Any) -> float:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        return 0.5

    trials_do(run)
    handle = harness.create()
    assert harness.work(handle) == 0
    assert only_trial(handle).state == TrialState.WAITING


def test_an_unusable_checkpoint_is_dropped_and_the_trial_restarts(
    harness: StudyHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    handle = harness.create(trials=1)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"not a checkpoint")
    write_blob(harness.artifacts, checkpoint_id(handle, 0), damaged)
    assert harness.work(handle) == 1
    assert count_states(handle) == {TrialState.COMPLETE: 1}
    assert "cannot be read" in caplog.text
    assert "trial 0: epoch 1/" in caplog.text
