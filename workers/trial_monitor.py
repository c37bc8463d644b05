"""The log and the metrics of a running trial, for other machines."""

import logging
import time
from types import TracebackType
from typing import Self

from optuna.trial import TrialState

from ..leases.lease import Lease, LeaseLost
from ..storage.artifacts import Artifacts
from . import worker_metrics
from .events import SHOWN_LIVE
from .logs import TrialLog
from .signals import Stopped

log = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]


class TrialMonitor:
    """Stores the log and counts the metrics of the trial of ``lease`` inside a ``with`` block.

    A booster trial takes seconds and logs only its end, so its start is not logged: that would take
    longer than the trial.
    """

    def __init__(self, artifacts: Artifacts, lease: Lease, *, device: str) -> None:
        self._log = TrialLog(artifacts, lease)
        self._device = device
        self._lease = lease
        self._study, self._number = lease.handle.study.study_name, lease.trial.number
        self._last = 0.0
        self._active = False

    def __enter__(self) -> Self:
        logging.getLogger(_PACKAGE).addHandler(self._log)
        self._last, self._active = time.monotonic(), True
        worker_metrics.CURRENT.labels(self._study, str(self._number)).set(1)
        if self._lease.handle.spec.kind.facts.has_epochs:
            given = (self._study, self._number, self._lease.attempt, self._device)
            log.info("study %s trial %d: attempt %d, on %s", *given, extra=SHOWN_LIVE)
            self._log.store()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        logging.getLogger(_PACKAGE).removeHandler(self._log)
        self._count_seconds()
        self._active = False
        worker_metrics.CURRENT.remove(self._study, str(self._number))
        if not isinstance(error, LeaseLost | Stopped):
            self._log.store(last=True)

    def handed_back(self) -> None:
        """Store the last lines of a trial that this worker has handed back.

        Call it after the hand-back: a store that does not answer would keep the trial RUNNING.
        """
        self._log.store(last=True)

    def epoch(self) -> None:
        """Count an epoch and store the log, as the trial's owner; do nothing outside the block."""
        if not self._active:
            return
        worker_metrics.EPOCHS.labels(self._study).inc()
        self._count_seconds()
        self._log.store()

    def ended(self, state: TrialState) -> None:
        """Count the trial if ``state`` is final."""
        if state.is_finished():
            worker_metrics.TRIALS.labels(self._study, state.name.lower()).inc()

    def _count_seconds(self) -> None:
        now = time.monotonic()
        worker_metrics.SECONDS.labels(self._study).inc(now - self._last)
        self._last = now
