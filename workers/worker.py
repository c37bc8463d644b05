"""The worker: claim a trial of one of its studies, run it, tell its end, until told to stop."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import optuna
from optuna.trial import TrialState

from ..errors import DataError, UserError
from ..leases.budget import StudyDeleted, unless_deleted
from ..leases.lease import DATABASE_ERRORS, Lease, LeaseLost, check_exists, claim, end_paused, is_finished
from ..leases.suspension import check_suspended
from ..search.asha import Paused
from ..search.spec import split_base
from ..storage.database import StudyLocked
from ..storage.db_errors import is_outage
from ..studies.context import StudyContext
from .checkpoint_store import CheckpointStore, drop_checkpoints
from .objective import run_trial
from .signals import DRAIN_SECONDS, StopFlag, Stopped, stop_signals
from .trial_monitor import TrialMonitor
from .trial_outcome import TrialOutcome, outcome_of, retry_outcome
from .worker_status import device_name

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
SHORTEST_IDLE_SECONDS = 0.03  # twice as long each time that there is nothing to do: a quick trial's end is seen soon
PATIENCE_SECONDS = 600.0  # how long a worker waits for a database that is away, say while it restarts
LONGEST_PAUSE_SECONDS = 60.0  # how long it rests when its disk or the artifact store gave out


def work(
    contexts: Sequence[StudyContext],
    *,
    max_trials: int | None = None,
    max_losses: int = 3,
    until_idle: bool = False,
    drain: float = DRAIN_SECONDS,
) -> int:
    """Run trials of the studies of ``contexts`` in turn; returns how many this worker ended.

    Stops after ``max_trials``; with ``until_idle`` when every study has ended (trials of other workers included, so
    that a worker that dies late still finds a successor); else on SIGTERM, SIGINT or SIGUSR1, which let the running
    epoch finish if it does within ``drain`` seconds, and hand the trial back. A database that is away is waited for,
    and so is a study that is paused. Raises UserError where there is nothing to wait for: a base without a result, a
    deleted study, data that are gone (all once the other studies are done), a paused study when idle, a database that
    stays away.
    """
    ended = 0
    alive, dead = list(contexts), list[UserError]()
    answered, idle, told = time.monotonic(), SHORTEST_IDLE_SECONDS, False
    with stop_signals(drain) as stop, suppress(Stopped):
        while alive and not stop.is_set() and (max_trials is None or ended < max_trials):
            try:
                taken = _take(alive, dead, max_losses)
                if taken is None:
                    ended += sum(map(_end_paused, alive))
                if taken is None and until_idle and _idle(alive):
                    break
                told = taken is None and (told or (not until_idle and _tell_if_finished(alive)))
            except DATABASE_ERRORS as error:
                _check_patience(time.monotonic() - answered, error)
                stop.wait(IDLE_SECONDS)
                continue
            if taken is None:
                stop.wait(idle)
                idle = min(2 * idle, IDLE_SECONDS)
            else:
                context, lease = taken
                idle = SHORTEST_IDLE_SECONDS
                alive.remove(context)
                try:
                    with unless_deleted(context.handle):
                        ended += _run(context, lease, stop)
                    alive.append(context)
                except (DataError, StudyDeleted) as error:
                    _leave_out(context, dead, error)
            answered = time.monotonic()
    if dead:
        raise dead[0]
    return ended


def _check_patience(silence: float, error: Exception) -> None:
    if not is_outage(error):
        raise error
    log.warning("the database has not answered for %.0f s (%s); trying again", silence, type(error).__name__)
    if silence > PATIENCE_SECONDS:
        raise UserError(
            f"the database has not answered for {silence:.0f} s; see `venation db status`, then start the worker again."
        )


def _take(alive: list[StudyContext], dead: list[UserError], max_losses: int) -> tuple[StudyContext, Lease] | None:
    """The first trial to be had; studies that can have none any more leave ``alive``, their errors join ``dead``."""
    for context in tuple(alive):
        try:
            with unless_deleted(context.handle):
                if not context.ready:
                    check_exists(context.handle)
                    continue
                lease = claim(context.handle, max_losses=max_losses, device=_device(context))
        except StudyLocked:
            raise
        except UserError as error:
            alive.remove(context)
            _leave_out(context, dead, error)
            continue
        if lease is not None:
            return context, lease
    return None


def _device(context: StudyContext) -> str:
    return device_name(context.device.type, context.device.index)


def _leave_out(context: StudyContext, dead: list[UserError], error: UserError) -> None:
    log.error("study %s is left out: %s", context.handle.study.study_name, error)
    dead.append(error)


def _end_paused(context: StudyContext) -> int:
    """End the trials that wait at a rung for nothing; how many they were."""
    try:
        with unless_deleted(context.handle):
            numbers = end_paused(context.handle)
            for number in numbers:
                drop_checkpoints(context, number)
    except UserError:
        return 0  # deleted, or locked for a minute: the next claim says so
    for number in numbers:
        log.info("study %s trial %d: PRUNED", context.handle.study.study_name, number)
    return len(numbers)


def _idle(contexts: Sequence[StudyContext]) -> bool:
    """Whether nothing is left to wait for; UserError if a study waits for a base that nobody here will finish."""
    names = {context.handle.study.study_name for context in contexts}
    for context in contexts:
        base, _ = split_base(str(context.spec.base))
        if not context.ready and base not in names:
            raise UserError(
                f"study `{context.handle.study.study_name}` needs a finished trial of its base study `{base}`, which"
                f" has trials left to run; start `venation worker {base} {context.handle.study.study_name}`."
            )
    unfinished = [context for context in contexts if not is_finished(context.handle)]
    for context in unfinished:
        check_suspended(context.handle)
    return not unfinished


def _tell_if_finished(contexts: Sequence[StudyContext]) -> bool:
    """Say that nothing is left to run, to somebody who may think that the worker hangs; whether that is so."""
    finished = bool(contexts) and all(is_finished(context.handle) for context in contexts)
    if finished:
        log.info("every study has ended; waiting for more trials: Ctrl-C stops this worker, --until-idle does not wait")
    return finished


def _run(context: StudyContext, lease: Lease, stop: StopFlag) -> int:
    """Run one claimed trial to its end; 1 if this worker ended it, 0 if it was handed back or lost."""
    name, number = context.handle.study.study_name, lease.trial.number

    watch = TrialMonitor(context.artifacts, lease, device=_device(context))

    def between_epochs() -> None:
        lease.check()
        watch.epoch()
        if stop.is_set():
            raise Stopped

    try:
        with lease:
            if stop.is_set():
                raise Stopped
            with watch:
                end = _run_to_end(context, lease, between_epochs)
    except LeaseLost as error:
        log.warning("%s; this worker drops it", error)
        _drop_late(context, lease, ended=error.ended)
        return int(error.ended)
    except Paused as pause:
        log.info("study %s trial %d: %s", name, number, pause)
        return 0
    except Stopped:
        try:
            lease.end(TrialState.WAITING)
            log.info("study %s trial %d: handed back", name, number)
            watch.handed_back()
        except LeaseLost:
            _drop_late(context, lease)
        except DATABASE_ERRORS as error:
            log.warning("study %s trial %d: left to the reaper (%s)", name, number, type(error).__name__)
        return 0
    log.info(end.log_line(name, number))
    watch.ended(end.state)
    if end.error is not None:
        raise end.error
    stop.wait(min(end.wait, LONGEST_PAUSE_SECONDS))
    return int(end.state != TrialState.WAITING)


def _drop_late(context: StudyContext, lease: Lease, *, ended: bool = False) -> None:
    """Remove the checkpoints that nobody needs: all of them where the trial ``ended`` by our own word."""
    kept = CheckpointStore(context, lease)
    with suppress(KeyError, *DATABASE_ERRORS):  # the study was deleted, or nobody can be asked
        kept.drop() if ended else kept.drop_late()


def _run_to_end(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> TrialOutcome:
    """Run the trial and write its end down, whatever it is."""
    try:
        end = _outcome(context, lease, between_epochs)
        end.record(context, lease)
    except DATABASE_ERRORS as error:
        where = f"study {context.handle.study.study_name} trial {lease.trial.number}"
        log.warning("%s: dropped, the database went away (%s)", where, type(error).__name__)
        end = _hand_back(context, lease, error)
    return end


def _hand_back(context: StudyContext, lease: Lease, error: Exception) -> TrialOutcome:
    """Hand a trial back as soon as the database answers again. It is ours as long as the heart beats, and it beats on.

    What the outage cost the trial is at most the epoch that could not be reported. Raises LeaseLost if it was ours no
    longer, or had ended before the server went away.
    """
    since = time.monotonic()
    while True:
        try:
            end = retry_outcome(lease, "database", f"{type(error).__name__}, and it answered again")
            end.record(context, lease)
        except DATABASE_ERRORS as again:
            _check_patience(time.monotonic() - since, again)
            time.sleep(IDLE_SECONDS)  # also when told to stop: the signal that ends the drain interrupts it
        else:
            return end


def _outcome(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> TrialOutcome:
    """Run the trial."""
    try:
        context.check_data()
        result = run_trial(context, lease, between_epochs)
    except optuna.TrialPruned as pruned:
        # Of a trial that breaks a constraint it says which.
        return TrialOutcome(TrialState.PRUNED, cause=str(pruned) or None)
    except (LeaseLost, Paused):
        raise
    except Exception as error:
        if isinstance(error, DATABASE_ERRORS) and is_outage(error):
            raise
        # Recorded with the trial, by cause. A bug is raised again once it is.
        return outcome_of(error, lease)
    if any(math.isnan(value) for value in result.values):
        result.discard(context)
        return TrialOutcome(TrialState.FAIL, cause="nan: an objective of the finished trial is nan", how="nan")
    return TrialOutcome(TrialState.COMPLETE, result)
