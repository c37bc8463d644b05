"""Stop signals of a worker: SIGTERM, SIGINT, and SIGUSR1, which Slurm sends before a preemption."""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

DRAIN_SECONDS = 25.0  # less than the 30 s after which Kubernetes kills

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
_POLL_S = 0.1


class Stopped(BaseException):
    """Raised at the end of the epoch after a stop signal; at once on a second one or a timeout."""


class StopFlag:
    """A flag like threading.Event, but without a lock.

    A signal handler interrupts the main thread. If that thread is in the event's own ``wait`` or
    ``set``, it has the event's lock, and the handler would wait for the lock without end.
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Set the flag; a signal handler may call this."""
        self._is_set = True

    def is_set(self) -> bool:
        """Return whether the flag is set."""
        return self._is_set

    def wait(self, timeout: float) -> bool:
        """Wait for ``timeout`` seconds or until the flag is set; return whether it is set."""
        until = time.monotonic() + timeout
        while not self._is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_S))
        return self._is_set


@contextmanager
def stop_signals(drain: float) -> Iterator[StopFlag]:
    """Yield a flag for the first signal; raise Stopped on a second one or after ``drain`` s."""
    stop = StopFlag()
    timers: list[threading.Timer] = []

    def handle_signal(signum: int, _frame: object) -> None:
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
            "stopping after the running epoch, in %g s at the latest (signal %d); send it again to stop at once",
            drain,
            signum,
        )

    before = {number: signal.signal(number, handle_signal) for number in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def exit_on_signal() -> Iterator[StopFlag]:
    """Leave the block at the first signal, without an error: no trial is claimed yet.

    Yields a flag that the signal sets. Test it before the work begins, because an import may
    swallow the exception or turn it into another. Handlers that are set inside the block replace
    these.
    """
    stop = StopFlag()

    def exit_block(_signum: int, _frame: object) -> None:
        stop.set()
        raise Stopped

    before = {number: signal.signal(number, exit_block) for number in STOP_SIGNALS}
    try:
        yield stop
    except (Exception, Stopped):
        if not stop.is_set():
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
