"""The workers of a chaos run: real processes that are started again whenever they end."""

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
from .faults import fake_clock
from .wire import enter

# A worker that cannot go on for a reason that is not its fault: a store that is away, a database that refuses it.
GAVE_UP = 3
_TAIL = 600
_DRAIN_S = 30.0


@dataclass(frozen=True)
class Post:
    """Where a worker stands: its way to the database, its network namespace and its clock, if they are its own."""

    url: str
    namespace: str | None
    clock: Path | None


Process = BaseProcess | subprocess.Popen[bytes]


class Crew:
    """One worker at each post, on one study at a time.

    ``starts`` counts processes; ``crashes`` says which ended by an error of Venation's own.
    """

    def __init__(self, posts: list[Post], *, store: Path, logs: Path, session: str) -> None:
        self.starts = 0
        self.crashes: list[str] = []
        self.logs = logs
        self._posts, self._store, self._session = posts, store, session
        self._study: str | None = None
        self._processes: dict[int, Process] = {}
        self._untidy: set[int] = set()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def assign(self, study: str) -> None:
        """Work on ``study`` from the next start on; who still runs finds the former one ended, and ends."""
        self._study = study

    def tend(self) -> None:
        """Start a worker at each post that has none."""
        for number, post in enumerate(self._posts):
            process = self._processes.get(number)
            if process is not None and _code(process) is None:
                continue
            if process is not None:
                self._note(number, _code(process))
            self._processes[number] = self._start(number, post)
            self.starts += 1

    def alive(self) -> list[int]:
        """The process ids of the workers that run."""
        return [process.pid for process in self._processes.values() if _code(process) is None and process.pid]

    def signal(self, pid: int, signum: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        if signum == signal.SIGKILL:
            self._untidy.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signum)

    def lose_store(self) -> None:
        """Note that nobody can remove anything now."""
        self._untidy.update(self.alive())

    def untidy(self) -> set[int]:
        """Who could not tidy up, because it was killed or had no store, or has yet to: it runs and may be cut off."""
        return self._untidy | {*self.alive()}

    def drain(self) -> None:
        """Tell every worker to stop, and wait until it has; who takes too long is left to run."""
        for pid in self.alive():
            self.signal(pid, signal.SIGTERM)
        for number, process in self._processes.items():
            if isinstance(process, BaseProcess):
                process.join(_DRAIN_S)
            else:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_DRAIN_S)
            self._note(number, _code(process))

    def close(self) -> None:
        """End every worker at once."""
        for process in self._processes.values():
            process.kill()
            process.join() if isinstance(process, BaseProcess) else process.wait()

    def _log(self, number: int) -> Path:
        return self.logs / f"worker-{number}.log"

    def _note(self, number: int, code: int | None) -> None:
        # Negative: a signal, which was ours.
        if code is not None and code > 0 and code != GAVE_UP:
            tail = self._log(number).read_text(errors="replace")[-_TAIL:]
            self.crashes.append(f"worker {number} ended with exit code {code}: {' '.join(tail.split())}")

    def _start(self, number: int, post: Post) -> Process:
        assert self._study is not None
        given = (post.url, self._study, str(self._store), str(self._log(number)), self._session, post.namespace)
        if post.clock is None:
            process = self._context.Process(target=serve, args=given)
            process.start()
            return process
        # The other clock is a library that must be there before the process begins.
        clock = {
            "LD_PRELOAD": str(fake_clock()),
            "FAKETIME_TIMESTAMP_FILE": str(post.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        # Under that library the system call of time.sleep fails; that of select does not.
        sleep = "import select, time; time.sleep = lambda seconds: select.select([], [], [], seconds)"
        code = f"{sleep}; from {__name__} import serve; serve(*{given!r})"
        return subprocess.Popen([sys.executable, "-c", code], env=os.environ | clock)


def serve(url: str, study: str, store: str, log: str, session: str, namespace: str | None) -> None:
    """What ``venation worker STUDY --until-idle`` does, in this process; ends it with GAVE_UP if it cannot go on."""
    sys.stdout = sys.stderr = open(log, "a", buffering=1)
    if namespace is not None:
        enter(namespace)
    try:
        storage = open_storage(url, name=session)
        context = open_context(open_study(storage, study), open_artifacts(store), device="cpu")
        work([context], until_idle=True, max_losses=1_000_000)
    except (UserError, *DATABASE_ERRORS) as error:
        print(error, file=sys.stderr)
        sys.exit(GAVE_UP)


def _code(process: Process) -> int | None:
    return process.exitcode if isinstance(process, BaseProcess) else process.poll()
