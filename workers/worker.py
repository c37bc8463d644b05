"""The worker: claim a trial of one of its studies, run it, record its outcome, repeat."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import optuna
from optuna.trial import TrialState

from ..data.images import Undecodable
from ..data.progress import notify
from ..errors import DataError, UserError
from ..leases.budget import StudyDeleted, unless_deleted
from ..leases.lease import DATABASE_ERRORS, Lease, LeaseLost
from ..search.asha import Paused
from ..storage.db_errors import is_outage
from ..studies.context import StudyContext
from .checkpoint_store import CheckpointStore
from .events import TrialEnds
from .objective import run_trial
from .signals import DRAIN_SECONDS, StopFlag, Stopped, stop_signals
from .study_queue import StudyQueue, context_device
from .trial_monitor import TrialMonitor
from .trial_outcome import TrialOutcome, outcome_of, retry_outcome

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
# Doubled after each poll without a trial, up to IDLE_SECONDS: the end of a quick trial is seen
# soon.
SHORTEST_IDLE_SECONDS = 0.03
PATIENCE_SECONDS = 600.0  # how long a worker waits for a database that is away, for example in a restart
_SAME_FILE = "put back the file that the study was created with, or create a study without it"
LONGEST_PAUSE_SECONDS = 60.0  # the longest rest after a failure of the disk or the artifact store


def work(
    contexts: Sequence[StudyContext],
    *,
    max_trials: int | None = None,
    max_losses: int = 3,
    until_idle: bool = False,
    drain: float = DRAIN_SECONDS,
) -> int:
    """Run trials of the studies of ``contexts`` in turn; return how many this worker ended.

    Stops after ``max_trials``; with ``until_idle`` when every study has ended, trials of other
    workers included, so that a worker that dies late finds a successor; else on SIGTERM, SIGINT or
    SIGUSR1. A signal lets the running epoch finish within ``drain`` seconds and hands the trial
    back. The worker waits for a database that is away and for a suspended study. Raises UserError
    where waiting is useless: a base without a result, a deleted study, missing data (all after the
    other studies are done), a suspended study with ``until_idle``, a database that stays away.
    """
    queue, ended, announced = StudyQueue(contexts, max_losses=max_losses), 0, False
    answered, idle = time.monotonic(), SHORTEST_IDLE_SECONDS
    with stop_signals(drain) as stop, suppress(Stopped):
        while queue.active and not stop.is_set() and (max_trials is None or ended < max_trials):
            try:
                claimed = queue.claim_next()
                if claimed is None:
                    ended += queue.prune_paused()
                    if until_idle and queue.is_idle():
                        break
                    announced = announced or (not until_idle and queue.log_if_finished())
            except DATABASE_ERRORS as error:
                _check_patience(time.monotonic() - answered, error)
                stop.wait(IDLE_SECONDS)
                continue
            if claimed is None:
                stop.wait(idle)
                idle = min(2 * idle, IDLE_SECONDS)
            else:
                context, lease = claimed
                idle, announced = SHORTEST_IDLE_SECONDS, False
                try:
                    with unless_deleted(context.handle):
                        ended += _run(context, lease, stop)
                except (DataError, StudyDeleted) as error:
                    queue.leave_out(context, error)
            answered = time.monotonic()
    if queue.errors:
        raise queue.errors[0]
    return ended


def _check_patience(silence: float, error: Exception) -> None:
    """Raise ``error`` if it is no outage, or UserError if the outage has lasted too long."""
    if not is_outage(error):
        raise error
    log.warning("the database has not answered for %.0f s (%s); trying again", silence, type(error).__name__)
    if silence > PATIENCE_SECONDS:
        raise UserError(
            f"the database has not answered for {silence:.0f} s; see `venation db status`, then start the worker again."
        )


def _run(context: StudyContext, lease: Lease, stop: StopFlag) -> int:
    """Run a claimed trial; return 1 if this worker ended it, 0 if it was handed back or lost."""
    name, number = context.handle.study.study_name, lease.trial.number
    monitor = TrialMonitor(context.artifacts, lease, device=context_device(context))

    def between_epochs() -> None:
        lease.check()
        monitor.epoch()
        if stop.is_set():
            raise Stopped

    try:
        with lease:
            if stop.is_set():
                raise Stopped
            with monitor:
                outcome = _run_and_record(context, lease, between_epochs)
    except LeaseLost as error:
        log.warning("%s; this worker drops it", error)
        _drop_stale_checkpoints(context, lease, ended=error.ended)
        return int(error.ended)
    except Paused as pause:
        log.info("study %s trial %d: %s", name, number, pause)
        return 0
    except Stopped:
        try:
            lease.end(TrialState.WAITING)
            log.info("study %s trial %d: handed back", name, number)
            monitor.handed_back()
        except LeaseLost:
            _drop_stale_checkpoints(context, lease)
        except DATABASE_ERRORS as error:
            log.warning("study %s trial %d: left to the reaper (%s)", name, number, type(error).__name__)
        return 0
    log.info(outcome.log_line(name, number))
    metrics = {} if outcome.result is None else outcome.result.metrics
    values = () if outcome.result is None else outcome.result.values
    notify(TrialEnds(name, number, outcome.state.name, values, metrics))
    monitor.ended(outcome.state)
    if outcome.error is not None:
        raise outcome.error
    stop.wait(min(outcome.delay, LONGEST_PAUSE_SECONDS))
    return int(outcome.state != TrialState.WAITING)


def _drop_stale_checkpoints(context: StudyContext, lease: Lease, *, ended: bool = False) -> None:
    """Remove this worker's checkpoint of a lost trial; all of them if it ``ended`` the trial."""
    checkpoints = CheckpointStore(context, lease)
    with suppress(KeyError, *DATABASE_ERRORS):  # the study was deleted, or the database is away
        checkpoints.drop() if ended else checkpoints.drop_stale()


def _run_and_record(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> TrialOutcome:
    """Run the trial and record its outcome."""
    try:
        outcome = _outcome(context, lease, between_epochs)
        outcome.record(context, lease)
    except DATABASE_ERRORS as error:
        where = f"study {context.handle.study.study_name} trial {lease.trial.number}"
        log.warning("%s: dropped, the database went away (%s)", where, type(error).__name__)
        outcome = _hand_back(context, lease, error)
    return outcome


def _hand_back(context: StudyContext, lease: Lease, error: Exception) -> TrialOutcome:
    """Hand a trial back once the database answers again.

    The lease stays valid while the heartbeat thread runs. The outage costs at most the epoch that
    could not be reported. Raises LeaseLost if another worker has the trial, or if it had ended
    before the outage.
    """
    since = time.monotonic()
    while True:
        try:
            outcome = retry_outcome(lease, "database", f"{type(error).__name__}, and it answered again")
            outcome.record(context, lease)
        except DATABASE_ERRORS as again:
            _check_patience(time.monotonic() - since, again)
            time.sleep(IDLE_SECONDS)  # the signal that ends the drain interrupts it
        else:
            return outcome


def _outcome(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> TrialOutcome:
    """Run the trial; turn its result or exception into an outcome."""
    try:
        context.check_data()
        result = run_trial(context, lease, between_epochs)
    except optuna.TrialPruned as pruned:
        # The message names the constraint that the trial breaks.
        return TrialOutcome(TrialState.PRUNED, cause=str(pruned) or None)
    except (LeaseLost, Paused):
        raise
    except Undecodable as error:
        return outcome_of(DataError(f"{error.problem}: {_SAME_FILE}"), lease)
    except Exception as error:
        if isinstance(error, DATABASE_ERRORS) and is_outage(error):
            raise
        # The outcome has the cause. A bug is raised again after it is recorded.
        return outcome_of(error, lease)
    if any(math.isnan(value) for value in result.values):
        result.discard(context)
        return TrialOutcome(TrialState.FAIL, cause="nan: an objective of the finished trial is nan", ending="nan")
    return TrialOutcome(TrialState.COMPLETE, result)
