"""The worker processes of a chaos run, which the pool restarts whenever they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..leases.lease import DATABASE_ERRORS
from ..storage.artifacts import open_artifacts
from ..storage.database import open_storage
from ..studies.context import open_context
from ..studies.registry import open_study
from ..workers.worker import work
from .clock import faketime_environment, faketime_library
from .network import enter_namespace
from .slow_store import SlowStore

# A worker's exit code if its store is away or its database refuses it: no error of Venation's.
UNAVAILABLE = 3
_LOG_TAIL = 600
_DRAIN_S = 30.0


class Places(NamedTuple):
    """The store of all workers, the file that slows it, the folder of logs, the sessions' name."""

    store: str
    delay: str
    logs: str
    session: str


@dataclass(frozen=True)
class WorkerSetup:
    """A worker's URL of the database, and its network namespace and clock file if it has them."""

    url: str
    namespace: str | None = None
    clock: Path | None = None


Process = BaseProcess | subprocess.Popen[bytes]


class WorkerPool:
    """One worker process for each setup, on one study at a time.

    ``starts`` counts processes. ``crashes`` lists those that an error of Venation's ended.
    ``killed`` are the process ids that got SIGKILL.
    """

    def __init__(self, setups: list[WorkerSetup], places: Places) -> None:
        self.starts = 0
        self.crashes: list[str] = []
        self.killed: set[int] = set()
        self.study: str | None = None
        self._setups, self._places = setups, places
        self._processes: dict[int, Process] = {}
        self._guests: list[tuple[Process, Path]] = []
        self._without_store: set[int] = set()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def assign(self, study: str) -> None:
        """Start workers on ``study`` from now on; those that run end with their study."""
        self.study = study

    def restart_ended(self) -> None:
        """Start a worker for each setup that has none."""
        for number, setup in enumerate(self._setups):
            process = self._processes.get(number)
            if process is not None and _exit_code(process) is None:
                continue
            if process is not None:
                self._record_crash(process, self._log(number))
            assert self.study is not None
            self._processes[number] = self._start(setup, self.study, self._log(number))
            self.starts += 1

    def start_guest(self, url: str, study: str) -> Callable[[], bool]:
        """Start a worker on a study that is going to be deleted; return whether it still runs.

        It must end by itself.
        """
        log = Path(self._places.logs) / f"worker-{study}.log"
        process = self._start(WorkerSetup(url), study, log)
        self._guests.append((process, log))
        return lambda: _exit_code(process) is None

    def running(self) -> dict[int, int]:
        """Return the process ids of the workers that run, by the number of their setup."""
        processes = self._processes.items()
        return {number: process.pid for number, process in processes if _exit_code(process) is None and process.pid}

    def signal(self, pid: int, signum: int) -> None:
        """Send a signal; do nothing if the process has ended."""
        if signum == signal.SIGKILL:
            self.killed.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signum)

    def note_lost_store(self) -> None:
        """Record that the workers that run now cannot remove files."""
        self._without_store.update(self.running().values())

    def unable_to_clean_up(self) -> set[int]:
        """Return the workers that may leave files: killed, without a store, or still running."""
        return self.killed | self._without_store | {*self.running().values()}

    def await_guests(self) -> None:
        """Wait until the workers of deleted studies have ended, at most for half a minute each."""
        for process, log in self._guests:
            if _wait(process) is None:
                self.crashes.append(f"a worker still runs half a minute after its study was deleted; read {log}")
                process.kill()
            else:
                self._record_crash(process, log)
        self._guests = []

    def drain(self) -> None:
        """Send SIGTERM to every worker and wait for its end, at most for half a minute each."""
        for pid in self.running().values():
            self.signal(pid, signal.SIGTERM)
        for number, process in self._processes.items():
            _wait(process)
            self._record_crash(process, self._log(number))

    def close(self) -> None:
        """Kill every worker."""
        for process in [*self._processes.values(), *(guest for guest, _ in self._guests)]:
            process.kill()
            process.join() if isinstance(process, BaseProcess) else process.wait()

    def _log(self, number: int) -> Path:
        return Path(self._places.logs) / f"worker-{number}.log"

    def _record_crash(self, process: Process, log: Path) -> None:
        code = _exit_code(process)
        # Negative: a signal of the chaos run.
        if code is not None and code > 0 and code != UNAVAILABLE:
            tail = log.read_text(errors="replace")[-_LOG_TAIL:]
            self.crashes.append(f"{log.stem} ended with exit code {code}: {' '.join(tail.split())}")

    def _start(self, setup: WorkerSetup, study: str, log: Path) -> Process:
        given = (setup.url, study, str(log), setup.namespace, tuple(self._places))
        library = faketime_library()
        if setup.clock is None or library is None:
            process = self._context.Process(target=run_worker, args=given)
            process.start()
            return process
        # The library must be loaded before the process begins. With it the system call of
        # time.sleep fails; that of select does not.
        sleep = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds)"
        code = f"{sleep}; from {__name__} import run_worker; run_worker(*{given!r})"
        environment = os.environ | faketime_environment(library, setup.clock)
        return subprocess.Popen([sys.executable, "-c", code], env=environment)


def run_worker(url: str, study: str, log: str, namespace: str | None, places: tuple[str, str, str, str]) -> None:
    """Run `venation worker STUDY --until-idle`; exit with UNAVAILABLE on an outage."""
    sys.stdout = sys.stderr = open(log, "a", buffering=1)
    if namespace is not None:
        enter_namespace(namespace)
    given = Places(*places)
    try:
        storage = open_storage(url, name=given.session)
        store = SlowStore(open_artifacts(given.store), Path(given.delay))
        work([open_context(open_study(storage, study), store, device="cpu")], until_idle=True, max_losses=1_000_000)
    except (UserError, *DATABASE_ERRORS) as error:
        print(error, file=sys.stderr)
        sys.exit(UNAVAILABLE)


def _exit_code(process: Process) -> int | None:
    return process.exitcode if isinstance(process, BaseProcess) else process.poll()


def _wait(process: Process) -> int | None:
    """Wait for the end of a process, at most for half a minute; return its exit code."""
    if isinstance(process, BaseProcess):
        process.join(_DRAIN_S)
    else:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DRAIN_S)
    return _exit_code(process)
