"""A worker that resumes after losing its lease overwrites nothing of the new owner."""

import signal
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.bundles.record import WEIGHTS
from venation.leases.claim import claim
from venation.leases.lease import Lease
from venation.search.handle import StudyHandle
from venation.storage import attributes
from venation.storage.artifacts import get_file, list_files, put_file, read_blob, write_blob
from venation.storage.owner_markers import MARKER_PREFIX
from venation.studies.registry import checkpoint_id
from venation.trials.errors import CheckpointMismatch
from venation.trials.evaluate import collect_task
from venation.trials.train import fit
from venation.workers import train_trial, worker
from venation.workers.objective import METRICS, Result, run_trial
from venation.workers.train_trial import SAMPLES

FILES = (WEIGHTS, SAMPLES, METRICS)


def taken_over(harness: StudyHarness, handle: StudyHandle) -> Lease:
    """Claim the trial of a silent worker."""
    harness.silence()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    return lease


def finish(harness: StudyHarness, lease: Lease, made: Path) -> None:
    """End the trial with value 0.9 and files that differ from a trial's."""
    made.mkdir()
    for name in FILES:
        (made / name).write_bytes(b"theirs " + name.encode())
        put_file(harness.artifacts, lease.trial, made / name)
    lease.trial.storage.set_trial_system_attr(lease.trial_id, "config", "theirs")
    attributes.METRICS.set(lease.trial, {"accuracy": 0.9})


def study_files(handle: StudyHandle) -> set[str]:
    return {file.artifact_id for file in list_files(handle.study)}


def stored(harness: StudyHarness) -> set[str]:
    names = {path.name for path in harness.artifacts.folder.iterdir() if path.is_file()}
    return {name for name in names if not name.startswith(MARKER_PREFIX)}


@pytest.mark.parametrize("moment", ["in an epoch", "after the epochs", "before the end"])
def test_a_superseded_worker_changes_neither_files_nor_metrics(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    handle = harness.create()
    others: list[Lease] = []

    def lose() -> None:
        others.append(taken_over(harness, handle))
        finish(harness, others[0], tmp_path / "theirs")
        signal.raise_signal(signal.SIGTERM)  # so that this worker stops instead of waiting for the other

    if moment == "before the end":
        monkeypatch.setattr(worker, "run_trial", lambda *a: (run_trial(*a), lose())[0])
    elif moment == "after the epochs":
        monkeypatch.setattr(train_trial, "collect_task", lambda *a, **k: (collect_task(*a, **k), lose())[0])
    else:
        monkeypatch.setattr(train_trial, "fit", lambda *a, **k: (lose() or epoch for epoch in fit(*a, **k)))
    assert harness.work(handle) == 0
    theirs = stored(harness)
    (other,) = others
    other.end(TrialState.COMPLETE, 0.9)
    (trial,) = handle.study.get_trials()
    assert (trial.value, attributes.CONFIG.get(trial), attributes.METRICS.get(trial)) == (
        0.9,
        "theirs",
        {"accuracy": 0.9},
    )
    for name in FILES:
        path = get_file(harness.artifacts, trial, name, to=tmp_path, storage=handle.storage)
        assert path.read_bytes() == b"theirs " + name.encode()
    if moment == "in an epoch":
        assert not trial.intermediate_values
    records = [key for key in trial.system_attrs if key.startswith("artifacts:")]
    assert theirs - {checkpoint_id(handle, 0)} == {key.removeprefix("artifacts:") for key in records} | study_files(
        handle
    )


def test_a_checkpoint_written_by_another_worker_after_a_hand_back_is_kept(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(b"theirs")
    others: list[Lease | None] = []
    end = Lease.end

    def end_and_lose(lease: Lease, *arguments: Any, **options: Any) -> None:
        end(lease, *arguments, **options)
        others.append(claim(handle, max_losses=3))
        write_blob(harness.artifacts, checkpoint_id(handle, 0, 2), checkpoint)
        signal.raise_signal(signal.SIGTERM)

    def misfit(*_: Any) -> Result:
        raise CheckpointMismatch("it is of another network")

    monkeypatch.setattr(Lease, "end", end_and_lose)
    monkeypatch.setattr(worker, "run_trial", misfit)
    assert harness.work(handle) == 0
    assert len(others) == 1 and others[0] is not None
    assert read_blob(harness.artifacts, checkpoint_id(handle, 0, 2), tmp_path / "back"), "removed by the former owner"


def test_a_worker_that_lost_the_trial_leaves_the_checkpoint(
    harness: StudyHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    checkpoint = tmp_path / "checkpoint"
    checkpoint.write_bytes(b"theirs")

    def lose_and_misfit(*_: Any) -> Result:
        taken_over(harness, handle)
        write_blob(harness.artifacts, checkpoint_id(handle, 0, 2), checkpoint)
        signal.raise_signal(signal.SIGTERM)
        raise CheckpointMismatch("it is of another network")

    monkeypatch.setattr(worker, "run_trial", lose_and_misfit)
    assert harness.work(handle) == 0
    assert read_blob(harness.artifacts, checkpoint_id(handle, 0, 2), tmp_path / "back"), "removed by the former owner"
