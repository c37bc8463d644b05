"""The outcome of a trial run, and its record in the database."""

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
    """The outcome of a trial run: a result if COMPLETE, else usually a cause.

    ``ending`` replaces the state in the history. ``delay`` is the time in seconds for which the
    trial cannot be claimed and its worker rests. ``suspend`` is the reason to suspend the study.
    ``drop_checkpoint`` restarts the trial from the first epoch. The worker raises ``error`` after
    the outcome is recorded.
    """

    state: TrialState
    result: Result | None = None
    cause: str | None = None
    ending: str | None = None
    delay: float = 0.0
    suspend: str | None = None
    drop_checkpoint: bool = False
    error: Exception | None = None

    def record(self, context: StudyContext, lease: Lease) -> None:
        """Record the outcome. Raises LeaseLost, with no file left."""
        checkpoints = CheckpointStore(context, lease)

        def write(connection: Connection) -> None:
            if self.result is not None:
                self.result.record(connection, lease.trial_id)
            if self.drop_checkpoint:
                # Before the hand-back: after it the next owner may store its checkpoint.
                checkpoints.drop()

        values = self.result.values if self.result else None
        try:
            lease.end(
                self.state,
                values,
                cause=self.cause,
                record=write,
                ending=self.ending,
                delay=self.delay,
                suspend=self.suspend,
            )
        except LeaseLost:
            if self.result is not None:
                with suppress(UserError, OSError):  # the store is away: gc removes the files
                    self.result.discard(context)
            raise
        if self.state != TrialState.WAITING:
            checkpoints.drop()

    def log_line(self, study: str, number: int) -> str:
        """Return the line that the worker logs: the state, with the value or the cause."""
        if self.state == TrialState.FAIL:
            return failure_line(study, number, self.cause or "")
        text = f"study {study} trial {number}: {self.state.name}"
        if self.result is not None:
            return f"{text} {self.result.value:.4f}"
        return f"{text} ({cause_line(self.cause)})" if self.cause and self.state.is_finished() else text


def outcome_of(error: Exception, lease: Lease) -> TrialOutcome:
    """Return the outcome for an exception of a trial, by its failure cause."""
    cause, message = classify_error(error)
    text = f"{cause.name}: {message}"
    where = f"study {lease.handle.study.study_name} trial {lease.trial.number}"
    if cause.action == FailureAction.FAIL:
        return TrialOutcome(TrialState.FAIL, cause=text, ending=cause.name)
    if cause.action == FailureAction.STOP_WORKER:
        return TrialOutcome(TrialState.FAIL, cause=bug_report(error), ending=cause.name, error=error)
    log.warning("%s: %s", where, text)
    if cause.action == FailureAction.RESTART:
        return TrialOutcome(TrialState.WAITING, ending=cause.name, drop_checkpoint=True)
    if cause.action == FailureAction.SUSPEND:
        return TrialOutcome(TrialState.WAITING, cause=text, ending=cause.name, suspend=message, error=error)
    outcome = retry_outcome(lease, cause.name, message)
    if cause.name == "device":
        return replace(outcome, error=DeviceFailed(f"{where}: {message}; this worker ends."))
    return outcome


def retry_outcome(lease: Lease, name: str, message: str) -> TrialOutcome:
    """Return the outcome that retries the trial, or fails it after too many tries."""
    lease.check()
    trial = lease.handle.storage.get_trial(lease.trial_id)
    tries = failed_retries(attempts(trial)[:-1], len(trial.intermediate_values))
    if tries >= MAX_TRIES:
        cause = f"{name}: {message} (given up after {tries + 1} attempts)"
        return TrialOutcome(TrialState.FAIL, cause=cause, ending=name)
    spec = lease.handle.spec
    delay = spec.heartbeat * retry_delay(tries, spec.trial_seed(trial.number))
    return TrialOutcome(TrialState.WAITING, cause=f"{name}: {message}", ending=name, delay=delay)
