"""When the faults of a run begin and end."""

import logging
import random
import time
from contextlib import ExitStack

from .fault import NotNow, Undo, busy_workers
from .faults import FAULTS, least_frequent
from .report import Report
from .sandbox import Sandbox

log = logging.getLogger(__name__)

LAST_S = 600.0  # a worker retries a database that is away for ten minutes
_LONGEST_WAIT_S = 60.0  # for a fault to have its effect


class FaultSchedule:
    """Injects faults of ``kinds`` every few seconds, and undoes each in time.

    The first worker that runs a trial starts the time of ``seconds``. It is extended, by at most
    ten minutes, until each kind has occurred.
    """

    def __init__(self, sandbox: Sandbox, report: Report, kinds: list[str], *, every: float, seconds: float) -> None:
        self._sandbox, self._report, self._kinds, self._every = sandbox, report, kinds, every
        self._rng = random.Random(report.seed)
        self._seconds, self._has_begun = seconds, False
        self._end = time.monotonic() + LAST_S  # the workers have so long to load
        self._next = 0.0
        self._pending: list[tuple[float, Undo]] = []

    def is_over(self) -> bool:
        """Return whether no more faults come."""
        late = time.monotonic() - self._end
        return late > LAST_S or (late > 0 and all(self._report.faults[kind] for kind in self._kinds))

    def is_overdue(self) -> bool:
        """Return whether the study of the last fault should have ended long ago."""
        return time.monotonic() > self._end + 2 * LAST_S

    def tick(self, *, may_inject: bool) -> None:
        """Undo the faults that are due, and inject one if it is time and a worker runs."""
        now = time.monotonic()
        for ended in self._take_due(now):
            ended.call()
            self._report.long_silences += ended.outlasts_grace
        if not self._has_begun and busy_workers(self._sandbox):
            self._has_begun, self._end = True, now + self._seconds
        if may_inject and self._has_begun and self._next < now and self._sandbox.workers.running():
            if not self.is_over():
                self._inject(now)

    def is_quiet(self) -> bool:
        """Return whether no fault waits for its effect."""
        return all(undo.is_ready() or self._is_late(when) for when, undo in self._pending)

    def undo_all(self) -> None:
        """Undo the remaining faults early, without a count of their silences."""
        pending, self._pending = self._pending, []
        with ExitStack() as stack:  # one that fails does not keep the others
            for _, undo in reversed(pending):
                stack.callback(undo.call)

    def _inject(self, now: float) -> None:
        kind = self._rng.choice(least_frequent(self._kinds, self._report.faults))
        log.info("fault %d: %s", sum(self._report.faults.values()) + 1, kind)
        try:
            undo = FAULTS[kind](self._sandbox, self._rng)
        except NotNow:
            return
        self._report.faults[kind] += 1
        self._pending += [(now + undo.seconds, undo)] if undo else []
        self._next = now + self._rng.uniform(0.5, 1.5) * self._every

    def _take_due(self, now: float) -> list[Undo]:
        due = [(when, undo) for when, undo in self._pending if when <= now and (undo.is_ready() or self._is_late(when))]
        self._pending = [entry for entry in self._pending if entry not in due]
        return [undo for _, undo in due]

    def _is_late(self, when: float) -> bool:
        return time.monotonic() > when + _LONGEST_WAIT_S
