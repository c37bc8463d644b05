"""How a worker is told to stop: SIGTERM and SIGINT, and SIGUSR1, by which Slurm announces a preemption."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

DRAIN_SECONDS = 25.0  # less than the 30 s after which Kubernetes kills

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
_LOOK_S = 0.1


class Stopped(BaseException):
    """Raised at the end of an epoch after the worker was asked to stop; at once when asked again, or out of time."""


class StopFlag:
    """What a threading.Event is to those who wait, without its lock.

    A signal handler runs inside of what it interrupts. If that is the event's own ``wait``, or its ``set`` for the
    signal before, the lock is held already, and the handler would wait for it without end.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Set it, from anywhere."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def wait(self, timeout: float) -> bool:
        """Wait for ``timeout`` seconds, or until it is set; returns whether it is."""
        until = time.monotonic() + timeout
        while not self._is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_S))
        return self._is_set


@contextmanager
def stop_signals(drain: float) -> Iterator[StopFlag]:
    """A flag that the first signal sets; a second one, or the end of ``drain`` seconds, raises Stopped at once."""
    stop = StopFlag()
    timers: list[threading.Timer] = []

    def ask(signum: int, _frame: object) -> None:
        if stop.is_set():
            for timer in timers:
                timer.cancel()
            raise Stopped
        # Before the timer: its signal may come at once, and then is the second one.
        stop.set()
        # A signal, not a flag: it has to reach the main thread, to wake it where it waits.
        timer = threading.Timer(drain, signal.pthread_kill, (threading.main_thread().ident, signum))
        timer.daemon = True
        timers.append(timer)
        timer.start()
        log.info(
            "stopping after what runs, in %g s at the latest (signal %d); once more to stop at once", drain, signum
        )

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def early_stops() -> Iterator[StopFlag]:
    """While a worker gets ready, the first signal ends the block at once, without a word: no trial is claimed yet.

    Yields a flag that is set then. Ask it before the work: what is raised in the middle of an import may be swallowed
    there, or come out as an error of the import. Whoever has handlers of his own inside has the signals for that time.
    """
    stop = StopFlag()

    def leave(_signum: int, _frame: object) -> None:
        stop.set()
        raise Stopped

    before = {number: signal.signal(number, leave) for number in _SIGNALS}
    try:
        yield stop
    except (Exception, Stopped):
        if not stop.is_set():
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
