"""The worker: claim a trial of one of its studies, run it, tell its end, until told to stop."""

import logging
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import optuna
import torch
from optuna.trial import TrialState

from ..errors import UsageError, UserError
from ..storage.artifacts import remove_blob
from ..trials.checkpoint import CheckpointMisfit
from ..trials.errors import TrialFailed
from .bench import Bench
from .lease import DATABASE_ERRORS, Lease, LeaseLost, check_exists, claim, end_paused, is_finished
from .objective import Result, run_trial
from .rungs import Paused
from .specs import split_base
from .studies import checkpoint_id

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
PATIENCE_SECONDS = 600.0  # how long a worker waits for a database that is away, say while it restarts


class Stopped(BaseException):
    """Raised at the end of an epoch after the worker was asked to stop; at once when it is asked a second time."""


def work(
    benches: Sequence[Bench],
    *,
    max_trials: int | None = None,
    max_losses: int = 3,
    until_idle: bool = False,
) -> int:
    """Run trials of the studies of ``benches`` in turn; returns how many this worker ended.

    Stops after ``max_trials``; with ``until_idle`` when every study has ended (trials of other workers included, so
    that a worker that dies late still finds a successor); else on SIGTERM or SIGINT, which let the running epoch
    finish and hand the trial back. A database that is away is waited for. Raises UserError where there is nothing to
    wait for: a base without a result, a deleted study (both once the other studies are done), a database that stays
    away.
    """
    ended = 0
    alive, dead = list(benches), list[UserError]()
    answered = time.monotonic()
    with _stop_signals() as stop, suppress(Stopped):
        while alive and not stop.is_set() and (max_trials is None or ended < max_trials):
            try:
                taken = _take(alive, dead, max_losses)
                if taken is None:
                    ended += sum(map(_end_paused, alive))
                if taken is None and until_idle and _idle(alive):
                    break
            except DATABASE_ERRORS as error:
                _check_patience(time.monotonic() - answered, error)
                stop.wait(IDLE_SECONDS)
                continue
            if taken is None:
                stop.wait(IDLE_SECONDS)
            else:
                bench, lease = taken
                ended += _run(bench, lease, stop)
                alive = [b for b in alive if b is not bench] + [bench]
            answered = time.monotonic()
    if dead:
        raise dead[0]
    return ended


def _check_patience(silence: float, error: Exception) -> None:
    log.warning("the database has not answered for %.0f s (%s); trying again", silence, type(error).__name__)
    if silence > PATIENCE_SECONDS:
        raise UserError(
            f"the database has not answered for {silence:.0f} s; see `venation db status`, then start the worker again."
        )


def _take(alive: list[Bench], dead: list[UserError], max_losses: int) -> tuple[Bench, Lease] | None:
    """The first trial to be had; studies that can have none any more leave ``alive``, their errors join ``dead``."""
    for bench in tuple(alive):
        try:
            check_exists(bench.handle)
            lease = claim(bench.handle, max_losses=max_losses) if bench.ready else None
        except UserError as error:
            log.error("study %s is left out: %s", bench.handle.study.study_name, error)
            alive.remove(bench)
            dead.append(error)
            continue
        if lease is not None:
            return bench, lease
    return None


def _end_paused(bench: Bench) -> int:
    """End the trials that wait at a rung for nothing; how many they were."""
    try:
        numbers = end_paused(bench.handle)
    except UserError:
        return 0  # deleted, or locked for a minute: the next claim says so
    for number in numbers:
        remove_blob(bench.artifacts, checkpoint_id(bench.handle, number))
        log.info("study %s trial %d: PRUNED", bench.handle.study.study_name, number)
    return len(numbers)


def _idle(benches: Sequence[Bench]) -> bool:
    """Whether nothing is left to wait for; UserError if a study waits for a base that nobody here will finish."""
    names = {bench.handle.study.study_name for bench in benches}
    for bench in benches:
        base, _ = split_base(str(bench.spec.base))
        if not bench.ready and base not in names:
            raise UserError(
                f"study `{bench.handle.study.study_name}` needs a finished trial of its base study `{base}`, which has"
                f" trials left to run; start `venation worker {base} {bench.handle.study.study_name}`."
            )
    return all(is_finished(bench.handle) for bench in benches)


def _run(bench: Bench, lease: Lease, stop: threading.Event) -> int:
    """Run one claimed trial to its end; 1 if this worker ended it, 0 if it was handed back or lost."""
    name, number = bench.handle.study.study_name, lease.trial.number

    def between_epochs() -> None:
        lease.check()
        if stop.is_set():
            raise Stopped

    try:
        with lease:
            end = _outcome(bench, lease, between_epochs)
            end.tell(bench, lease)
    except LeaseLost as error:
        log.warning("%s; this worker drops it", error)
        return 0
    except DATABASE_ERRORS as error:
        # Nobody can be told now. The trial falls silent and comes back, to this worker or to another.
        log.warning("study %s trial %d: dropped, the database went away (%s)", name, number, type(error).__name__)
        return 0
    except Paused as pause:
        log.info("study %s trial %d: %s", name, number, pause)
        return 0
    except Stopped:
        with suppress(LeaseLost, *DATABASE_ERRORS):
            lease.end(TrialState.WAITING)
            log.info("study %s trial %d: handed back", name, number)
        return 0
    log.info("study %s trial %d: %s%s", name, number, end.state.name, f" {end.result.value:.4f}" if end.result else "")
    return int(end.state != TrialState.WAITING)


@dataclass(frozen=True)
class _End:
    """How a run of a trial ended: with a result if it is COMPLETE, with a cause if it failed."""

    state: TrialState
    result: Result | None = None
    cause: str | None = None

    def tell(self, bench: Bench, lease: Lease) -> None:
        """Write the end down; LeaseLost, and no trace left, if the trial went elsewhere."""
        checkpoint = checkpoint_id(bench.handle, lease.trial.number)

        def record() -> None:
            if self.result is not None:
                self.result.record(lease.trial)
            if self.state == TrialState.WAITING:
                # Not after the hand-back: what lies under this id is then the next owner's.
                remove_blob(bench.artifacts, checkpoint)

        try:
            lease.end(self.state, self.result.value if self.result else None, cause=self.cause, record=record)
        except LeaseLost:
            if self.result is not None:
                self.result.discard(bench)
            raise
        if self.state != TrialState.WAITING:
            remove_blob(bench.artifacts, checkpoint)


def _outcome(bench: Bench, lease: Lease, between_epochs: Callable[[], None]) -> _End:
    """Run the trial."""
    try:
        return _End(TrialState.COMPLETE, run_trial(bench, lease, between_epochs))
    except optuna.TrialPruned:
        return _End(TrialState.PRUNED)
    except TrialFailed as failure:
        return _End(TrialState.FAIL, cause=f"{failure.cause}: {failure}")
    except torch.OutOfMemoryError:
        message = "out of memory before or after the epochs: lower train.batch_size or data.size"
        return _End(TrialState.FAIL, cause=f"oom: {message}")
    except CheckpointMisfit as error:
        # Handed back without its checkpoint: whoever claims the trial next starts it anew.
        log.warning("%s", error)
        return _End(TrialState.WAITING)
    except (LeaseLost, Paused, *DATABASE_ERRORS):
        raise
    except UsageError as error:
        # A config that cannot be run, which no other worker can either.
        return _End(TrialState.FAIL, cause=f"config: {error}")
    except UserError:
        # Not the trial's fault (data gone, a full disk): another worker, or this one once mended, can finish it.
        lease.end(TrialState.WAITING)
        raise
    except Exception:
        # A bug: the trial says what happened, and the worker stops loudly. Not so if the trial went elsewhere in the
        # meantime, where Optuna refuses whatever we write: `end` then raises LeaseLost in its place.
        lease.end(TrialState.FAIL, cause=f"bug: {traceback.format_exc(limit=-5)}")
        raise


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second signal interrupts at once."""
    stop = threading.Event()

    def ask(signum: int, _frame: object) -> None:
        if stop.is_set():
            raise Stopped
        log.info("stopping after this epoch (signal %d); once more to stop at once", signum)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
