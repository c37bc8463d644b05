"""A fleet: worker processes on one machine, pinned to GPUs, restarted on a crash, drained together.

A child that crashes (killed, out of memory, a driver error) restarts after a pause that doubles
each time. A child with one of Venation's own exit codes is not restarted: it is done, or would fail
again. The exception is exit code 1 after a restart: the child worked before, so its database may be
away.
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
_STABLE_S = 600.0  # a child that ran this long does not crash at its start: the pause is reset
_OUTAGE_S = 600.0  # retries of a restarted child that exits with code 1: as long as a worker waits for a database
_POLL_S = 0.1
_OWN_CODES: Mapping[int, type[UserError]] = {1: UserError, 2: UsageError, 3: DataError}
_PR_SET_PDEATHSIG = 1


def run_fleet(
    command: Sequence[str],
    slots: Sequence[Slot],
    *,
    logs: Path | None = None,
    first_pause_s: float = _FIRST_PAUSE_S,
) -> None:
    """Run ``command`` once for each slot until every child has ended.

    SIGTERM, SIGINT and SIGUSR1 are passed on to all children. Each line of a child appears on this
    process's standard error after its slot's name, and in ``logs``/SLOT.log. Raises UsageError
    before the start if the logs cannot be written, and after the end the error of the highest exit
    code.
    """
    if logs is not None:
        _check_logs([_log_file(logs, slot) for slot in slots])
    children = [_Child(slot, [*command, *slot.arguments], logs, first_pause_s) for slot in slots]
    with _forwarding(children) as stopping:
        while any([child.update(stopping.is_set(), children) for child in children]):
            time.sleep(_POLL_S)
    failed = {child.slot.name: child.code for child in children if child.code}
    if failed:
        ended = ", ".join(f"{name} (exit code {code})" for name, code in failed.items())
        raise _OWN_CODES[max(failed.values())](
            f"{len(failed)} of {len(children)} workers stopped with an error: {ended}; see their last lines above."
        )


class _Child:
    """The process of a slot, and its restarts."""

    def __init__(self, slot: Slot, command: Sequence[str], logs: Path | None, first_pause_s: float) -> None:
        self.slot = slot
        self.code: int | None = None
        self._command = command
        self._file = None if logs is None else _log_file(logs, slot)
        self._pause_s = self._first_pause_s = first_pause_s
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._began = self._due = time.monotonic()
        self._crashed: float | None = None  # the time of the last crash
        self._refused = False
        self._signalled = False

    @property
    def runs(self) -> bool:
        """Whether the process runs, and is not a retry that has just begun."""
        return self._process is not None and (self._is_stable or not self._refused)

    @property
    def _is_stable(self) -> bool:
        return time.monotonic() - self._began > _STABLE_S

    def update(self, stopping: bool, fleet: "Sequence[_Child]") -> bool:
        """Start the process or handle its end; return False once the slot is done."""
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
            if stopping and not self._signalled:
                self.send(signal.SIGTERM)  # the signal came during the start
            return True
        self._end(code, stopping, fleet)
        return self.code is None

    def send(self, number: int) -> None:
        """Pass a signal on to the process."""
        if self._process is not None and self._process.poll() is None:
            self._signalled = True
            self._process.send_signal(number)

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.slot.environment}
        # In a separate process group: else a terminal's Ctrl-C arrives twice, which stops at once.
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
        self._reader = threading.Thread(target=_copy_output, args=(self._process.stdout, self.slot.name, self._file))
        self._reader.start()
        log.info("%s: started, process %d", self.slot.name, self._process.pid)

    def _end(self, code: int, stopping: bool, fleet: "Sequence[_Child]") -> None:
        assert self._reader is not None
        self._reader.join()
        self._process = None
        self._refused = code == UserError.exit_code and not stopping and self._may_recover(fleet)
        if code == 0 or (code in _OWN_CODES and not self._refused):
            self.code = code
            log.info("%s: ended with exit code %d", self.slot.name, code)
            return
        how = f"was killed by signal {-code}" if code < 0 else f"crashed with exit code {code}"
        if stopping:
            self.code = 0
            log.warning("%s: %s during the stop", self.slot.name, how)
            return
        if self._refused:
            how = f"came back and was refused (exit code {code})"
        else:
            self._crashed = time.monotonic()
        if self._is_stable:
            self._pause_s = self._first_pause_s
        log.warning("%s: %s; starting it again in %.3g s", self.slot.name, how, self._pause_s)
        self._due = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _may_recover(self, fleet: "Sequence[_Child]") -> bool:
        """Return whether the failure is probably transient, so that the process should restart."""
        if self._crashed is None or self._is_stable:
            return False
        return time.monotonic() - self._crashed < _OUTAGE_S or any(child.runs for child in fleet)


def _log_file(logs: Path, slot: Slot) -> Path:
    return logs / f"{slot.name.replace(' ', '-')}.log"


def _check_logs(files: Sequence[Path]) -> None:
    """Create the log files if they do not exist. Raises UsageError."""
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("a").close()
        except OSError as error:
            raise UsageError(f"--logs: cannot write {file}: {error.strerror}; give another folder.") from None


def _copy_output(lines: IO[str], name: str, file: Path | None) -> None:
    """Copy a child's lines to this process's standard error and to its log.

    The copy never stops before the child ends, because a child blocks on a full pipe. Lines that a
    full disk does not accept are lost.
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
    """Pass signals on to all children; yield a flag, after which no child starts."""
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


def stop_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send a signal to this process when its parent ends, on Linux.

    A killed parent cannot send it. Its restart would put a second worker on the same GPU.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)
