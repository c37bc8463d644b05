"""Workers under ASHA: exact budgets, deaths at a rung, paused trials that resume bit for bit."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from rung_helpers import RUNGS, claim_next, report_curve
from study_helpers import TERMINATE, Pause, StudyHarness, WorkerProcess

from venation.errors import UserError
from venation.leases import asha_queue, promotion
from venation.leases.budget import count_states, is_finished
from venation.leases.claim import claim, prune_paused
from venation.leases.lease import DATABASE_ERRORS, Lease, LeaseLost
from venation.leases.promotion import promote_or_pause
from venation.search.asha import Paused
from venation.search.handle import StudyHandle
from venation.storage.artifacts import get_file, write_blob
from venation.storage.attributes import METRICS, PAUSED
from venation.studies.registry import checkpoint_id, delete_study
from venation.workers import worker
from venation.workers.objective import Result
from venation.workers.study_queue import prune_stranded

_OPEN = """
from optuna.trial import TrialState
from venation.leases.promotion import promote_or_pause
from venation.leases.claim import claim, prune_paused
from venation.search.asha import Paused
from venation.studies.registry import open_study
from venation.storage.database import open_storage
handle = open_study(open_storage({url!r}), "soy")
"""
_RUN_ALL = """
while (lease := claim(handle, max_losses=3)) is not None or prune_paused(handle):
    if lease is None:
        continue
    number, known = lease.trial.number, handle.storage.get_trial(lease.trial_id).intermediate_values
    try:
        with lease:
            for epoch in range(len(known), 9):
                lease.trial.report(number * 7 % 11 + epoch, epoch)
                if epoch < 8:
                    promote_or_pause(lease, epoch + 1)
            lease.end(TrialState.COMPLETE, number * 7 % 11 + 9.0)
    except Paused:
        print("paused", number)
"""
_REPORT_AND_HANG = """
import threading
with claim(handle, max_losses=3) as lease:
    lease.trial.report(0.25, 0)
    threading.Event().wait()
"""


def test_a_worker_killed_at_a_rung_leaves_a_paused_trial(
    harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    handle = harness.create(trials=4, settings={"train.epochs": 9}, **RUNGS)
    assert report_curve(claim_next(handle), [0.5])
    process = start_python(_OPEN.format(url=postgres_url) + _REPORT_AND_HANG)
    process.wait_until(lambda: len(handle.study.trials) == 2 and bool(handle.study.trials[1].intermediate_values))
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    harness.sql("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour' WHERE trial_id = 2")
    second = claim_next(handle)
    assert second.trial.number == 2, "trial 1 reached the rung with 0.25, and is not the best of two"
    assert not report_curve(second, [0.2])
    assert not report_curve(claim_next(handle), [0.1])
    assert count_states(handle) == {TrialState.RUNNING: 1, TrialState.WAITING: 3}
    assert claim(handle, max_losses=3) is None, "1 of 4 may go on, and trial 0 has"
    assert prune_paused(handle) == [], "trial 0 may yet fail"
    harness.silence()
    again = claim_next(handle)
    assert again.trial.number == 0
    again.end(TrialState.FAIL)
    promoted = claim_next(handle)
    assert promoted.trial.number == 1, "the best of those that are left"
    promoted.end(TrialState.COMPLETE, 0.25)
    assert claim(handle, max_losses=3) is None
    assert prune_paused(handle) == [2, 3] and is_finished(handle)


def test_processes_run_exactly_the_budget_with_one_of_them_killed(
    harness: StudyHarness,
    start_python: Callable[[str], WorkerProcess],
    postgres_url: str,
    pause_at: Callable[[int], Pause],
) -> None:
    handle = harness.create(trials=11, settings={"train.epochs": 9}, **RUNGS)
    pause = pause_at(4)
    victim = start_python(_OPEN.format(url=postgres_url) + _RUN_ALL)
    pause.wait(victim)
    victim.send(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    pause.release()
    harness.silence()
    workers = [start_python(_OPEN.format(url=postgres_url) + _RUN_ALL) for _ in range(3)]
    assert [process.wait() for process in workers] == [0, 0, 0], [process.log.read_text() for process in workers]
    assert is_finished(handle)
    states = count_states(handle)
    assert sum(states.values()) == 11 and states.keys() == {TrialState.COMPLETE, TrialState.PRUNED}
    best = handle.study.best_trial
    # 7 n mod 11 is a permutation of 0..10: trial 3 has 10.
    assert (best.number, best.value) == (3, 19.0)


def test_a_single_worker_ends_the_study_and_removes_every_checkpoint(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "state").write_bytes(b"state")

    def run_trial(context: Any, lease: Lease, _check: Callable[[], None]) -> Result:
        number = lease.trial.number
        write_blob(harness.artifacts, checkpoint_id(context.handle, number), tmp_path / "state")
        if not report_curve(lease, [number * 7 % 13 / 13] * 8):
            raise Paused
        return Result(number * 7 % 13 / 13, {}, ())

    monkeypatch.setattr(worker, "run_trial", run_trial)
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)
    handle = harness.create(trials=13, settings={"train.epochs": 9}, **RUNGS)
    assert harness.work(handle) == 13
    assert sum(count_states(handle).values()) == 13 and is_finished(handle)
    assert handle.study.best_value == 12 / 13
    assert not list(harness.artifacts.folder.glob("*-checkpoint"))
    epochs = sum(len(trial.intermediate_values) for trial in handle.study.trials)
    assert epochs < 13 * 9 / 2


def weights(harness: StudyHarness, handle: StudyHandle, number: int, to: Path) -> bytes:
    trial = handle.study.get_trials()[number]
    return get_file(harness.artifacts, trial, "weights.safetensors", to=to, storage=handle.storage).read_bytes()


def test_a_trial_paused_at_every_rung_ends_as_without_pauses(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def promote_none(trials: Any, eta: int, *, last: bool = False) -> list[int]:
        return [trial.number for trial in trials if trial.waits and last]

    caplog.set_level("INFO")
    monkeypatch.setattr(promotion, "promotable", promote_none)
    monkeypatch.setattr(asha_queue, "promotable", promote_none)
    options = {"trials": 2, "settings": {"train.epochs": 4}}
    handle = harness.create(eta=2, **RUNGS, **options)
    assert handle.spec.rungs == (1, 2)
    assert harness.work(handle) == 2
    for number in range(2):
        for rung, epochs in ((1, 1), (2, 2)):
            assert f"study soy trial {number}: paused at rung {rung} of 2, after {epochs} epochs" in caplog.text
    assert caplog.text.count(": resumed") == 4
    assert caplog.text.count(": epoch ") == 2 * 4, "no epoch was run twice"
    calm = harness.create("calm", sampler="random", **options)
    assert harness.work(calm) == 2
    for number in range(2):
        paused, undisturbed = handle.study.trials[number], calm.study.trials[number]
        assert paused.params == undisturbed.params
        assert paused.intermediate_values == undisturbed.intermediate_values
        assert METRICS.need(paused) == METRICS.need(undisturbed)
        assert weights(harness, handle, number, tmp_path) == weights(harness, calm, number, tmp_path)
    assert not list(harness.artifacts.folder.glob("*-checkpoint"))


def test_another_worker_resumes_a_trial_killed_after_a_promotion(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess], pause_at: Callable[[int], Pause], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"trials": 3, "heartbeat": 0.25, "settings": {"train.epochs": 4}}
    handle = harness.create(eta=2, **RUNGS, **options)
    pause = pause_at(2)
    process = start_worker("soy")
    pause.wait(process)
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    pause.release()
    assert harness.work(handle) == 3
    assert sum(count_states(handle).values()) == 3 and is_finished(handle)
    calm = harness.create("calm", sampler="random", **options)
    harness.work(calm)
    for trial, undisturbed in zip(handle.study.trials, calm.study.trials, strict=True):
        length = len(trial.intermediate_values)
        assert trial.intermediate_values == {e: undisturbed.intermediate_values[e] for e in range(length)}
        if trial.state == TrialState.COMPLETE:
            same = [weights(harness, each, trial.number, tmp_path) for each in (handle, calm)]
            assert same[0] == same[1]
    assert handle.study.trials[0].state == TrialState.COMPLETE


def test_a_study_deleted_under_a_worker_ends_no_trial(harness: StudyHarness) -> None:
    handle = harness.create(trials=None, timeout=60.0, settings={"train.epochs": 9}, **RUNGS)
    assert report_curve(claim_next(handle), [0.1, 0.1, 0.1])
    context = harness.context(handle)
    delete_study(harness.storage, "soy", harness.artifacts)
    with pytest.raises(UserError, match="study `soy` was deleted"):
        prune_paused(handle)
    assert prune_stranded(context) == 0, "deleted between a claim and this"
    with pytest.raises(UserError, match="study `soy` was deleted"):
        worker.work([context], until_idle=True)


def test_a_worker_without_the_lock_pauses_nothing(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = harness.create(trials=2, settings={"train.epochs": 9}, **RUNGS)
    assert report_curve(claim_next(handle), [0.5])
    late, others = claim_next(handle), list[Lease]()
    promotable = asha_queue.promotable

    def lose_both(*arguments: Any, **options: Any) -> list[int]:
        harness.sql(TERMINATE)
        harness.sql("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour' WHERE trial_id = 2")
        # The trial is paused at the rung like any that died there; this test promotes it.
        monkeypatch.setattr(asha_queue, "promotable", lambda *_, **__: [1])
        others.append(claim_next(handle))
        monkeypatch.setattr(asha_queue, "promotable", promotable)
        return []

    monkeypatch.setattr(promotion, "promotable", lose_both)
    with pytest.raises(DATABASE_ERRORS):
        report_curve(late, [0.1])
    assert [other.trial.number for other in others] == [1]
    others[0].check()
    assert PAUSED.key not in handle.storage.get_trial(late.trial_id).system_attrs
    with pytest.raises(LeaseLost):
        promote_or_pause(late, 1)
    assert count_states(handle) == {TrialState.RUNNING: 2}


def test_a_paused_trial_ended_by_another_tool_keeps_its_state(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create(trials=4, settings={"train.epochs": 9}, **RUNGS)
    first = claim_next(handle)
    assert report_curve(first, [0.5, 0.5, 0.5])
    for value in (0.3, 0.2, 0.1):
        assert not report_curve(claim_next(handle), [value])
    first.end(TrialState.COMPLETE, 0.5)

    def end_elsewhere(*_: Any, **__: Any) -> None:
        harness.storage.set_trial_state_values(handle.study.get_trials()[2]._trial_id, TrialState.FAIL)

    monkeypatch.setattr(asha_queue, "_choose", end_elsewhere)
    assert prune_paused(handle) == [1, 3]
    ended = handle.study.get_trials()
    assert [(t.state.name, t.value) for t in ended[1:]] == [("PRUNED", 0.3), ("FAIL", None), ("PRUNED", 0.1)]
    assert ended[1].user_attrs["cause"] == "rung 1: not among the best 1/3 after 1 epochs"
    assert "cause" not in ended[2].user_attrs
    assert all(t.datetime_complete is not None for t in ended)


def test_a_trial_that_runs_out_of_patience_is_complete(harness: StudyHarness) -> None:
    """A rate of almost zero and frozen statistics: no epoch is better than the first."""
    settings = {"train.epochs": 9, "train.patience": 2, "train.lr": 1e-12, "train.frozen_bn": True, "gate": "none"}
    handle = harness.create(trials=1, settings=settings, **RUNGS)
    assert harness.work(handle) == 1
    (trial,) = handle.study.trials
    assert trial.state == TrialState.COMPLETE and PAUSED.get(trial) is None
    assert sorted(trial.intermediate_values) == [0, 1, 2] and 3 in handle.spec.rungs
    assert trial.value == trial.intermediate_values[0]
