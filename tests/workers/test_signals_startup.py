"""Stop signals before a worker's first trial, sent to real processes at exact moments."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from study_helpers import DEADLINE_S, StudyHarness, WorkerProcess

from venation.leases.budget import count_states
from venation.workers.signals import Stopped, exit_on_signal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# The process sends itself the signal when it first imports a module, or calls a function.
_AT_IMPORT = """
import os, sys
class Tell:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            print("there", flush=True)
            os.kill(os.getpid(), {signal})
sys.meta_path.insert(0, Tell())
"""
_AT_CALL = """
import os, {module} as module
def tell(*a, before=module.{function}, **k):
    print("there", flush=True)
    os.kill(os.getpid(), {signal})
    return before(*a, **k)
module.{function} = tell
"""
_RUN = """
import sys
sys.argv = ["venation", *{arguments!r}]
from venation.cli import app
app()
"""
_MODULES = {"torch is to be imported": "torch", "half of torch is imported": "torch.nn"}
_CALLS = {
    "the database is opened": ("venation.storage.database", "open_storage"),
    "the data are read": ("venation.studies.data", "load_parts"),
    "all is ready": ("venation.commands.worker", "_work"),
}
_SAYS = "stopped before the first trial\n"

Run = Callable[..., tuple[int | None, str]]


@pytest.fixture
def run(harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str, tmp_path: Path) -> Run:
    """Run ``venation worker soy`` with a signal at a moment; return its exit code and output."""
    places = ("--storage", postgres_url, "--artifacts", str(harness.artifacts.folder))

    def start(moment: str, number: int, *arguments: str) -> tuple[int | None, str]:
        command = _RUN.format(arguments=["worker", "soy", "--until-idle", *arguments, *places])
        if moment in _CALLS:
            module, function = _CALLS[moment]
            process = start_python(_AT_CALL.format(module=module, function=function, signal=int(number)) + command)
            return process.wait(), process.log.read_text()
        # A new process: an import that has happened cannot trigger the signal.
        code = _AT_IMPORT.format(module=_MODULES[moment], signal=int(number)) + command
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S)
        return ended.returncode, ended.stdout + ended.stderr

    return start


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("torch is to be imported", signal.SIGINT),
        ("half of torch is imported", signal.SIGTERM),
        ("the database is opened", signal.SIGTERM),
        ("the data are read", signal.SIGUSR1),
        ("all is ready", signal.SIGINT),
    ],
)
def test_a_signal_before_the_first_trial_ends_the_worker_without_an_error(
    harness: StudyHarness, run: Run, moment: str, number: int
) -> None:
    handle = harness.create()
    assert run(moment, number, "--device", "cpu") == (0, f"there\n{_SAYS}")
    (trial,) = handle.study.get_trials()
    assert count_states(handle) == {TrialState.WAITING: 1} and not trial.user_attrs


def test_a_fleet_that_counts_its_gpus_can_be_stopped(harness: StudyHarness, run: Run) -> None:
    harness.create()
    assert run("torch is to be imported", signal.SIGTERM, "--gpus", "all") == (0, f"there\n{_SAYS}")


def test_a_worker_whose_fleet_has_ended_does_not_start(harness: StudyHarness, run: Run) -> None:
    handle = harness.create()
    assert run("all is ready", signal.SIGKILL, "--device", "cpu", "--parent", "1") == (0, _SAYS)
    assert count_states(handle) == {TrialState.WAITING: 1}


def test_a_signal_that_a_library_swallows_or_renames_still_stops() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with exit_on_signal() as stop:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            pass
        assert stop.is_set()
    with exit_on_signal() as stop:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Stopped as stopped:
            raise ImportError("half a module") from stopped
    assert stop.is_set() and signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(ImportError), exit_on_signal():
        raise ImportError("of its own")
