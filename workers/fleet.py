"""One worker process a GPU, or several on one machine: pinned, started again when they crash, drained together.

A child that crashes (killed, out of memory, a fault in a driver) comes back after a pause that doubles each time. One
that ends with an exit code of Venation's own has said why: it is done, or nothing would be better the next time. Only
one that came back from a crash, and is refused where it could work before, is tried again: its database may be away.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import DataError, UsageError, UserError
from .signals import StopFlag
from .slots import Slot

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 300.0
_STEADY_S = 600.0  # who lived so long is not crashing at its start: the next pause is the first again
_PATIENCE_S = 600.0  # how long who came back and is refused is tried again: as a worker waits for its database
_TICK_S = 0.1
_OWN_CODES: Mapping[int, type[UserError]] = {1: UserError, 2: UsageError, 3: DataError}
_PR_SET_PDEATHSIG = 1


def run_fleet(
    command: Sequence[str],
    slots: Sequence[Slot],
    *,
    logs: Path | None = None,
    first_pause_s: float = _FIRST_PAUSE_S,
) -> None:
    """Run ``command`` once a slot until every child has ended; SIGTERM, SIGINT and SIGUSR1 go on to all of them.

    Each line of a child appears on our standard error after its slot's name, and in ``logs``/SLOT.log. Raises the
    error that a child's exit code stands for, once all have ended, if one ended with a code of ours other than 0;
    UsageError, before anything starts, for logs that cannot be written.
    """
    if logs is not None:
        _check_logs([_log_file(logs, slot) for slot in slots])
    children = [_Child(slot, [*command, *slot.arguments], logs, first_pause_s) for slot in slots]
    with _forwarding(children) as stopping:
        while any([child.tend(stopping.is_set(), children) for child in children]):
            time.sleep(_TICK_S)
    failed = {child.slot.name: child.code for child in children if child.code}
    if failed:
        told = ", ".join(f"{name} (exit code {code})" for name, code in failed.items())
        raise _OWN_CODES[max(failed.values())](
            f"{len(failed)} of {len(children)} workers stopped with an error: {told}; their last lines above say why."
        )


class _Child:
    """A slot's process, one after the other."""

    def __init__(self, slot: Slot, command: Sequence[str], logs: Path | None, first_pause_s: float) -> None:
        self.slot = slot
        self.code: int | None = None
        self._command = command
        self._file = None if logs is None else _log_file(logs, slot)
        self._pause_s = self._first_pause_s = first_pause_s
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._began = self._due = time.monotonic()
        self._crashed: float | None = None  # when, last
        self._refused = False
        self._told = False

    @property
    def runs(self) -> bool:
        """Whether its process runs, and not just to be refused once more."""
        return self._process is not None and (self._is_steady or not self._refused)

    @property
    def _is_steady(self) -> bool:
        return time.monotonic() - self._began > _STEADY_S

    def tend(self, stopping: bool, fleet: "Sequence[_Child]") -> bool:
        """Start the process, or see to how it ended; False once the slot is done. ``fleet`` are all children."""
        if self.code is not None:
            return False
        if self._process is None:
            if stopping:
                self.code = 0
            elif time.monotonic() >= self._due:
                self._start()
            return self.code is None
        code = self._process.poll()
        if code is None:
            if stopping and not self._told:
                self.send(signal.SIGTERM)  # it was just being started when the signal came
            return True
        self._end(code, stopping, fleet)
        return self.code is None

    def send(self, number: int) -> None:
        """Pass a signal on."""
        if self._process is not None and self._process.poll() is None:
            self._told = True
            self._process.send_signal(number)

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.slot.environment}
        # A group of its own: a terminal's Ctrl-C would reach it twice, which means at once.
        self._process = subprocess.Popen(
            self._command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        self._began = time.monotonic()
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=_copy, args=(self._process.stdout, self.slot.name, self._file))
        self._reader.start()
        log.info("%s: started, process %d", self.slot.name, self._process.pid)

    def _end(self, code: int, stopping: bool, fleet: "Sequence[_Child]") -> None:
        assert self._reader is not None
        self._reader.join()
        self._process = None
        self._refused = code == UserError.exit_code and not stopping and self._may_pass(fleet)
        if code == 0 or (code in _OWN_CODES and not self._refused):
            self.code = code
            log.info("%s: ended with exit code %d", self.slot.name, code)
            return
        how = f"was killed by signal {-code}" if code < 0 else f"crashed with exit code {code}"
        if stopping:
            self.code = 0
            log.warning("%s: %s while it was to stop", self.slot.name, how)
            return
        if self._refused:
            how = f"came back and was refused (exit code {code})"
        else:
            self._crashed = time.monotonic()
        if self._is_steady:
            self._pause_s = self._first_pause_s
        log.warning("%s: %s; starting it again in %.3g s", self.slot.name, how, self._pause_s)
        self._due = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _may_pass(self, fleet: "Sequence[_Child]") -> bool:
        """Whether what refused the process was there before, and somebody may still wait for it."""
        if self._crashed is None or self._is_steady:
            return False
        return time.monotonic() - self._crashed < _PATIENCE_S or any(child.runs for child in fleet)


def _log_file(logs: Path, slot: Slot) -> Path:
    return logs / f"{slot.name.replace(' ', '-')}.log"


def _check_logs(files: Sequence[Path]) -> None:
    """Make the logs, empty if they are new. Raises UsageError."""
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("a").close()
        except OSError as error:
            raise UsageError(f"--logs: cannot write {file}: {error.strerror}; give another folder.") from None


def _copy(lines: IO[str], name: str, file: Path | None) -> None:
    """Copy a child's lines to our standard error, and to its log.

    To its end: a child whose lines nobody reads stops when the pipe is full. What a full disk does not take is lost.
    """
    with lines, ExitStack() as opened:
        sink = None
        if file is not None:
            with suppress(OSError):
                sink = opened.enter_context(file.open("ab", buffering=0))
        for line in lines:
            with suppress(OSError):
                sys.stderr.write(f"{name} | {line.removesuffix(chr(10))}\n")
                sys.stderr.flush()
            if sink is not None:
                with suppress(OSError):
                    sink.write(line.encode())


@contextmanager
def _forwarding(children: Sequence[_Child]) -> Iterator[StopFlag]:
    """A flag that a signal sets, after which nothing is started; every signal goes on to all children."""
    stopping = StopFlag()

    def forward(number: int, _frame: object) -> None:
        stopping.set()
        for child in children:
            child.send(number)

    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with(parent: int) -> None:
    """Let this process be told to stop (SIGTERM) when its parent is gone, on Linux.

    A parent that was killed cannot tell it; started again, it would put a second worker on the same GPU.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
