"""How a run of a trial ends, and how that is written down."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from optuna.trial import TrialState
from sqlalchemy import Connection

from ..errors import UserError
from ..leases.failures import (
    MAX_TRIES,
    DeviceFailed,
    FailureAction,
    bug_report,
    cause_line,
    classify_error,
    failed_retries,
    failure_line,
    retry_delay,
)
from ..leases.history import attempts
from ..leases.lease import Lease, LeaseLost
from ..studies.context import StudyContext
from .checkpoint_store import CheckpointStore
from .objective import Result

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialOutcome:
    """How a run of a trial ended: with a result if it is COMPLETE, else mostly with a cause.

    ``how`` is for the history where the state does not say it; ``wait`` is how long the trial, and its worker, do
    nothing now, in seconds; ``halt`` is why its study is paused; ``anew`` drops its checkpoint. ``error`` is for the
    worker to raise once the end is told.
    """

    state: TrialState
    result: Result | None = None
    cause: str | None = None
    how: str | None = None
    wait: float = 0.0
    halt: str | None = None
    drop_checkpoint: bool = False
    error: Exception | None = None

    def record(self, context: StudyContext, lease: Lease) -> None:
        """Write the end down; LeaseLost, and no trace left, if the trial went elsewhere."""
        kept = CheckpointStore(context, lease)

        def write(connection: Connection) -> None:
            if self.result is not None:
                self.result.record(connection, lease.trial_id)
            if self.drop_checkpoint:
                # Not after the hand-back: what lies under this id is then the next owner's.
                kept.drop()

        values = self.result.values if self.result else None
        try:
            lease.end(self.state, values, cause=self.cause, record=write, how=self.how, delay=self.wait, halt=self.halt)
        except LeaseLost:
            if self.result is not None:
                with suppress(UserError, OSError):  # a store that is away: the collection of artifacts finds them
                    self.result.discard(context)
            raise
        if self.state != TrialState.WAITING:
            kept.drop()

    def log_line(self, study: str, number: int) -> str:
        """Return the line that the worker logs: the state, with the value or the cause."""
        if self.state == TrialState.FAIL:
            return failure_line(study, number, self.cause or "")
        text = f"study {study} trial {number}: {self.state.name}"
        if self.result is not None:
            return f"{text} {self.result.value:.4f}"
        return f"{text} ({cause_line(self.cause)})" if self.cause and self.state.is_finished() else text


def outcome_of(error: Exception, lease: Lease) -> TrialOutcome:
    """The end that an exception of a trial makes, by its cause."""
    cause, said = classify_error(error)
    words = f"{cause.name}: {said}"
    where = f"study {lease.handle.study.study_name} trial {lease.trial.number}"
    if cause.action == FailureAction.FAIL:
        return TrialOutcome(TrialState.FAIL, cause=words, how=cause.name)
    if cause.action == FailureAction.STOP_WORKER:
        return TrialOutcome(TrialState.FAIL, cause=bug_report(error), how=cause.name, error=error)
    log.warning("%s: %s", where, words)
    if cause.action == FailureAction.RESTART:
        return TrialOutcome(TrialState.WAITING, how=cause.name, drop_checkpoint=True)
    if cause.action == FailureAction.SUSPEND:
        return TrialOutcome(TrialState.WAITING, cause=words, how=cause.name, halt=said, error=error)
    end = retry_outcome(lease, cause.name, said)
    return replace(end, error=DeviceFailed(f"{where}: {said}; this worker ends.")) if cause.name == "device" else end


def retry_outcome(lease: Lease, name: str, said: str) -> TrialOutcome:
    """The end of a run that is to be tried again, or of one that was tried often enough. Raises LeaseLost."""
    lease.check()
    trial = lease.handle.storage.get_trial(lease.trial_id)
    tries = failed_retries(attempts(trial)[:-1], len(trial.intermediate_values))
    if tries >= MAX_TRIES:
        cause = f"{name}: {said} (given up after {tries + 1} attempts)"
        return TrialOutcome(TrialState.FAIL, cause=cause, how=name)
    spec = lease.handle.spec
    wait = spec.heartbeat * retry_delay(tries, spec.trial_seed(trial.number))
    return TrialOutcome(TrialState.WAITING, cause=f"{name}: {said}", how=name, wait=wait)
