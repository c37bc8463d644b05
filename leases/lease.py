"""Who may run a trial: claims, signs of life and ends of trials, each under the study's lock.

A trial is one row from its creation to its end. A worker that dies leaves it RUNNING; the next claim puts it back to
WAITING, so that another worker resumes the same row: what was asked for is counted by rows, and ends exactly once.
A claim and an end are one transaction each, of the connection that holds the lock: a worker that was stopped in the
middle, and wakes when the lock and the trial are another's, has written nothing.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import optuna
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy import Connection

from ..search.handle import StudyHandle
from ..storage.attributes import CAUSE, LEASE
from ..storage.database import StudyLocked, study_lock
from . import rows
from .asha_queue import next_waiting, prune_left
from .budget import check_exists, count_states, deleted, is_finished, mark_start, within_budget
from .failures import bug_report
from .fenced_storage import fenced
from .history import HANDED_BACK, close_attempt, new_holder
from .reaper import reap_locked
from .suspension import suspend_study, suspension_reason

__all__ = [
    "DATABASE_ERRORS",
    "Lease",
    "LeaseLost",
    "StudyHandle",
    "check_exists",
    "claim",
    "count_states",
    "end_paused",
    "is_finished",
    "within_budget",
]

# What the database raises while it is away, directly and through Optuna, and while somebody is stopped with a lock; and
# what does not pass by itself, see ``is_outage``.
DATABASE_ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, StudyLocked)

_JOIN_S = 5.0


class LeaseLost(RuntimeError):
    """This trial is no longer ours: taken over after a silence longer than the study's grace, or deleted.

    ``ended`` where it is over by our own word, whose confirmation got lost with a connection.
    """

    def __init__(self, what: str, *, ended: bool = False) -> None:
        super().__init__(what)
        self.ended = ended


class Lease:
    """The right to run one trial, kept alive by a thread inside of its ``with`` blocks.

    ``attempt`` counts the trial's owners from 1: what an owner writes outside the database goes under its attempt, so
    that a former owner cannot overwrite it. ``trial`` is there once the trial is prepared.
    """

    trial: optuna.Trial

    def __init__(self, handle: StudyHandle, trial_id: int, token: str, *, number: int, attempt: int) -> None:
        self.handle = handle
        self.trial_id = trial_id
        self.attempt = attempt
        self._number = number
        self._token = token

    def __enter__(self) -> "Lease":
        self._ended = threading.Event()
        given = (self._ended,)
        self._thread = threading.Thread(target=self._beat, args=given, name=f"heartbeat-{self.trial_id}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        # A beat on a dead network gives up later than anybody should wait for it.
        self._thread.join(_JOIN_S)

    def _beat(self, ended: threading.Event) -> None:
        heartbeat = self.handle.spec.heartbeat
        pause = heartbeat
        while not ended.wait(pause):
            try:
                with self.handle.storage.engine.begin() as connection:
                    if not rows.beat(connection, self.trial_id, self._token):
                        return  # it went to another worker, whose signs of life are not ours to give
                pause = heartbeat
            except DATABASE_ERRORS:
                pause = min(heartbeat, 1.0)  # the database is away: the sooner it hears of us again, the better

    def prepare(self) -> None:
        """Make ``trial`` ready to be drawn. The heart beats meanwhile: there may be much to read.

        If the database goes away the trial is handed back, and of a bug it fails. Raises KeyError if the study was
        deleted.
        """
        study = self.handle.study
        try:
            with self:
                # Optuna's cache refuses to write to a trial that it has not read, and samplers keep one of their own.
                study._thread_local.cached_all_trials = None
                study._get_trials(deepcopy=False, use_cache=True)
                # Sampling needs no lock, and each trial has a seed of its own: no two workers draw the same stream.
                study.sampler = self.handle.spec.build_sampler(self._number)
                self.trial = optuna.trial.Trial(study, self.trial_id)
                self.trial.storage = fenced(self.trial.storage, self.write)
        except BaseException as error:
            passes = not isinstance(error, Exception) or isinstance(error, (KeyError, *DATABASE_ERRORS))
            with suppress(LeaseLost, *DATABASE_ERRORS):
                if passes:
                    self.end(TrialState.WAITING)
                else:
                    self.end(TrialState.FAIL, cause=bug_report(error), how="bug")
            raise

    def write(self, put: Callable[..., bool], *given: Any) -> None:
        """Write something of the trial by a ``put_`` function of ``rows``. Raises LeaseLost, with nothing written."""
        with self.handle.storage.engine.begin() as connection:
            if not put(connection, self.trial_id, self._token, *given):
                raise self._lost(connection)

    def check(self, connection: Connection | None = None) -> None:
        """Raise LeaseLost if another worker has taken the trial over, or the trial was deleted.

        What it says holds to the end of the transaction if ``connection`` is the study lock's.
        """
        own = nullcontext(connection) if connection is not None else self.handle.storage.engine.connect()
        with own as asked:
            if not rows.owns(asked, self.trial_id, self._token):
                raise self._lost(asked)

    def hand_back(self, connection: Connection) -> None:
        """Let the trial wait, by the connection of the study's lock; its history is not told. Raises LeaseLost."""
        if not rows.end(connection, self.trial_id, token=self._token, state=TrialState.WAITING, values=None):
            raise self._lost(connection)

    def end(
        self,
        state: TrialState,
        values: float | Sequence[float] | None = None,
        *,
        cause: str | None = None,
        record: Callable[[Connection], None] | None = None,
        how: str | None = None,
        delay: float = 0.0,
        halt: str | None = None,
    ) -> None:
        """Tell the trial's end and its ``cause`` (or WAITING: hand it back).

        ``record`` is given the connection of the study's lock: what it writes by it stands or falls with the end.
        A pruned trial without values has the last one that it reported. ``how`` is what the history says if not the
        state. A trial that is handed back waits for ``delay`` seconds; ``halt`` is why the study is paused with it.
        Raises LeaseLost, with nothing written, if the trial is no longer ours; ValueError for a value that is nan, or
        a number of values that is not the study's.
        """
        with study_lock(self.handle.storage, self.handle.id) as connection:
            told = self._told(connection, state, values)
            if not rows.end(connection, self.trial_id, token=self._token, state=state, values=told):
                raise self._lost(connection)
            if record is not None:
                record(connection)
            rows.set_attr(connection, self.trial_id, CAUSE, cause)
            given = HANDED_BACK if state == TrialState.WAITING else state.name.lower()
            close_attempt(connection, self.trial_id, how or given)
            if delay:
                rows.set_delay(connection, self.trial_id, delay)
            if halt is not None:
                suspend_study(connection, self.handle.id, halt)

    def is_over(self) -> bool:
        """Whether the trial has ended, or was deleted: nobody will resume it."""
        with self.handle.storage.engine.connect() as connection:
            state = rows.state_of(connection, self.trial_id)
        return state is None or state.is_finished()

    def _told(
        self, connection: Connection, state: TrialState, values: float | Sequence[float] | None
    ) -> Sequence[float] | None:
        wanted = len(self.handle.spec.directions)
        if values is None and state == TrialState.PRUNED and wanted == 1:
            values = rows.last_report(connection, self.trial_id)
        told = [values] if isinstance(values, int | float) else values
        if state == TrialState.COMPLETE and (told is None or len(told) != wanted):
            raise ValueError(f"a complete trial of this study has {wanted} values, but it was told {told}")
        return told

    def _lost(self, connection: Connection) -> LeaseLost:
        where = f"trial {self._number} of study `{self.handle.study.study_name}`"
        state = rows.state_of(connection, self.trial_id)
        if state is None:
            return LeaseLost(f"{where} was deleted")
        if state.is_finished() and rows.get_attr(connection, self.trial_id, LEASE) == self._token:
            return LeaseLost(f"{where} had ended before the connection broke", ended=True)
        return LeaseLost(f"{where} went to another worker")


def claim(handle: StudyHandle, *, max_losses: int, device: str = "") -> Lease | None:
    """The next trial to run, or None if every trial within the budget is taken, or the study is paused.

    Trials whose worker fell silent come back first; one that lost more than ``max_losses`` workers at the same epoch is
    told FAIL (its checkpoint stays until it is collected). A trial that waits at a rung is to be had once it is
    promoted, one that is to be tried again once its delay is over. ``device`` is for the trial's history.
    Raises UserError if the study was deleted.
    """
    try:
        handle.read_trials()
        lease = _take_next(handle, device, max_losses)
        if lease is not None:
            lease.prepare()
    except KeyError:
        check_exists(handle)
        raise
    return lease


def _take_next(handle: StudyHandle, device: str, max_losses: int) -> Lease | None:
    """The trial to run next, taken, in one transaction."""
    token = uuid.uuid4().hex
    with study_lock(handle.storage, handle.id) as connection:
        if not rows.lock_study(connection, handle.id):
            raise deleted(handle)
        reap_locked(handle, connection, max_losses=max_losses)
        trial_id = None if suspension_reason(connection, handle.id) else _next(handle, connection)
        if trial_id is None:
            return None
        holder = new_holder(connection, trial_id, device=device)
        number = rows.take(connection, trial_id, token=token, holder=holder)
        if number is None:
            return None
        mark_start(connection, handle.id)
    return Lease(handle, trial_id, token, number=number, attempt=holder["attempt"])


def _next(handle: StudyHandle, connection: Connection) -> int | None:
    """The trial to take, a new one if none waits and the budget has room."""
    more = within_budget(handle, connection)
    if handle.spec.rungs:
        trial_id = next_waiting(handle, connection, last=not more)
    else:
        trial_id = rows.next_trial(connection, handle.id)
    if trial_id is None and more:
        trial_id = rows.create_trial(connection, handle.id)
    return trial_id


def end_paused(handle: StudyHandle) -> list[int]:
    """Tell PRUNED the trials that wait at a rung of a study in which nothing is left to run; returns their numbers.

    Raises UserError if the study was deleted.
    """
    if not handle.spec.rungs:
        return []
    with study_lock(handle.storage, handle.id) as connection:
        if not rows.lock_study(connection, handle.id):
            raise deleted(handle)
        return [] if within_budget(handle, connection) else prune_left(handle, connection)
