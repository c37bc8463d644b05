"""Scratch folders are removed with their trial, and after their worker was killed."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from study_helpers import Pause, StudyHarness, WorkerProcess

from venation.errors import UserError
from venation.leases.budget import count_states
from venation.workers.scratch import clear_scratch, scratch_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for the test."""
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_folder_in_use_is_kept_and_removed_with_its_block(home: Path) -> None:
    with scratch_folder() as folder:
        (folder / "checkpoint").write_bytes(b"x")
        assert folder.parent == home.resolve() / "scratch"
        assert clear_scratch() == 0
        assert (folder / "checkpoint").exists()
    assert not list((home / "scratch").iterdir())


def test_a_folder_in_creation_is_not_removed(home: Path) -> None:
    (home / "scratch" / "trial-new").mkdir(parents=True)
    assert clear_scratch() == 0


def test_a_full_home_is_a_one_line_error(home: Path) -> None:
    home.mkdir()
    (home / "scratch").write_text("no folder")
    with pytest.raises(UserError, match=r"^cannot make a scratch folder in .*home: File exists; "), scratch_folder():
        pass
    assert clear_scratch() == 0


def test_the_next_worker_removes_the_folder_of_a_killed_one(
    harness: StudyHarness,
    start_worker: Callable[..., WorkerProcess],
    pause_at: Callable[[int], Pause],
    venation_home: Path,
) -> None:
    scratch = venation_home / "scratch"
    handle = harness.create(heartbeat=0.25, settings={"train.epochs": 2})
    pause = pause_at(1)
    worker = start_worker("soy")
    pause.wait(worker)
    (left,) = scratch.iterdir()
    worker.send(signal.SIGKILL)
    worker.wait()
    pause.release()
    assert (left / "checkpoint.safetensors").exists()
    assert start_worker("soy", "--until-idle").wait() == 0
    assert count_states(handle) == {TrialState.COMPLETE: 1}
    assert not list(scratch.iterdir())
