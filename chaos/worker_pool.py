"""The worker processes of a chaos run, which the pool restarts whenever they end."""

import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..errors import UserError
from ..leases.lease import DATABASE_ERRORS
from ..storage.artifacts import open_artifacts
from ..storage.database import open_storage
from ..studies.context import open_context
from ..studies.registry import open_study
from ..workers.worker import work
from .clock import faketime_environment, faketime_library
from .network import enter_namespace

# A worker's exit code if its store is away or its database refuses it: no error of Venation's.
UNAVAILABLE = 3
_LOG_TAIL = 600
_DRAIN_S = 30.0


@dataclass(frozen=True)
class WorkerSetup:
    """A worker's URL of the database, and its network namespace and clock file if it has them."""

    url: str
    namespace: str | None
    clock: Path | None


Process = BaseProcess | subprocess.Popen[bytes]


class WorkerPool:
    """One worker process for each setup, on one study at a time.

    ``starts`` counts processes. ``crashes`` lists those that an error of Venation's ended.
    ``killed`` are the process ids that got SIGKILL.
    """

    def __init__(self, setups: list[WorkerSetup], *, store: Path, logs: Path, session: str) -> None:
        self.starts = 0
        self.crashes: list[str] = []
        self.killed: set[int] = set()
        self.logs = logs
        self._setups, self._store, self._session = setups, store, session
        self._study: str | None = None
        self._processes: dict[int, Process] = {}
        self._without_store: set[int] = set()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def assign(self, study: str) -> None:
        """Start workers on ``study`` from now on; those that run end with their study."""
        self._study = study

    def restart_ended(self) -> None:
        """Start a worker for each setup that has none."""
        for number, setup in enumerate(self._setups):
            process = self._processes.get(number)
            if process is not None and _exit_code(process) is None:
                continue
            if process is not None:
                self._record_crash(number, _exit_code(process))
            self._processes[number] = self._start(number, setup)
            self.starts += 1

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

    def drain(self) -> None:
        """Send SIGTERM to every worker and wait for its end, at most for half a minute each."""
        for pid in self.running().values():
            self.signal(pid, signal.SIGTERM)
        for number, process in self._processes.items():
            if isinstance(process, BaseProcess):
                process.join(_DRAIN_S)
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_DRAIN_S)
            self._record_crash(number, _exit_code(process))

    def close(self) -> None:
        """Kill every worker."""
        for process in self._processes.values():
            process.kill()
            process.join() if isinstance(process, BaseProcess) else process.wait()

    def _log(self, number: int) -> Path:
        return self.logs / f"worker-{number}.log"

    def _record_crash(self, number: int, code: int | None) -> None:
        # Negative: a signal of the chaos run.
        if code is not None and code > 0 and code != UNAVAILABLE:
            tail = self._log(number).read_text(errors="replace")[-_LOG_TAIL:]
            self.crashes.append(f"worker {number} ended with exit code {code}: {' '.join(tail.split())}")

    def _start(self, number: int, setup: WorkerSetup) -> Process:
        assert self._study is not None
        given = (setup.url, self._study, str(self._store), str(self._log(number)), self._session, setup.namespace)
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


def run_worker(url: str, study: str, store: str, log: str, session: str, namespace: str | None) -> None:
    """Run `venation worker STUDY --until-idle`; exit with UNAVAILABLE on an outage."""
    sys.stdout = sys.stderr = open(log, "a", buffering=1)
    if namespace is not None:
        enter_namespace(namespace)
    try:
        storage = open_storage(url, name=session)
        context = open_context(open_study(storage, study), open_artifacts(store), device="cpu")
        work([context], until_idle=True, max_losses=1_000_000)
    except (UserError, *DATABASE_ERRORS) as error:
        print(error, file=sys.stderr)
        sys.exit(UNAVAILABLE)


def _exit_code(process: Process) -> int | None:
    return process.exitcode if isinstance(process, BaseProcess) else process.poll()
