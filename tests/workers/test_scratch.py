"""What a trial writes while it runs: gone with it, and gone after a worker that was killed."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from study_helpers import Pause, StudyHarness, WorkerProcess

from venation.errors import UserError
from venation.leases.lease import count_states
from venation.workers.scratch import clear_scratch, scratch_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own."""
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_folder_in_use_stays_and_goes_with_its_block(home: Path) -> None:
    with scratch_folder() as folder:
        (folder / "checkpoint").write_bytes(b"x")
        assert folder.parent == home.resolve() / "scratch"
        assert clear_scratch() == 0
        assert (folder / "checkpoint").exists()
    assert not list((home / "scratch").iterdir())


def test_a_folder_that_is_being_made_is_not_taken_for_a_dead_one(home: Path) -> None:
    (home / "scratch" / "trial-new").mkdir(parents=True)
    assert clear_scratch() == 0


def test_a_home_without_room_is_told_in_one_line(home: Path) -> None:
    home.mkdir()
    (home / "scratch").write_text("no folder")
    with pytest.raises(UserError, match=r"^cannot make a scratch folder in .*home: File exists; "), scratch_folder():
        pass
    assert clear_scratch() == 0


def test_what_a_killed_worker_left_the_next_one_removes(
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
