"""Trial leases: prepare, heartbeat, finish.

A trial is one row from its creation to its end. A worker that dies leaves it RUNNING. The next
claim puts it back to WAITING, so that another worker resumes the same row: the budget counts rows,
and each row ends exactly once. A claim and an end are one transaction each, on the connection that
has the study's lock. A suspended worker that resumes after losing its lease writes nothing.
"""

import threading
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
from .attribute_rows import get_attr, set_attr
from .failures import bug_report
from .fenced_storage import fence_storage
from .history import HANDED_BACK, close_attempt
from .suspension import suspend_study

# Errors of the database, directly and through Optuna, also of a lock that a suspended process has.
# ``is_outage`` tells which of them pass by themselves.
DATABASE_ERRORS = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, StudyLocked)

_JOIN_S = 5.0


class LeaseLost(RuntimeError):
    """This worker lost the trial: another took it after the grace, or it was deleted.

    ``ended``: this worker ended the trial itself, and the connection broke before the confirmation.
    """

    def __init__(self, message: str, *, ended: bool = False) -> None:
        super().__init__(message)
        self.ended = ended


class Lease:
    """The right to run one trial; a heartbeat thread renews it inside a ``with`` block.

    ``attempt`` counts the trial's owners from 1. An owner's files have its attempt in their names,
    so that a former owner cannot overwrite them. ``trial`` is set by ``prepare``.
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
        # On a dead network a heartbeat takes longer to fail than the worker should wait.
        self._thread.join(_JOIN_S)

    def _beat(self, ended: threading.Event) -> None:
        heartbeat = self.handle.spec.heartbeat
        pause = heartbeat
        while not ended.wait(pause):
            try:
                with self.handle.storage.engine.begin() as connection:
                    if not rows.beat(connection, self.trial_id, self._token):
                        return  # another worker has the trial now
                pause = heartbeat
            except DATABASE_ERRORS:
                pause = min(heartbeat, 1.0)  # an outage: renew the lease soon after its end

    def prepare(self) -> None:
        """Build ``trial`` with its sampler, under a running heartbeat: there may be much to read.

        Hands the trial back if the database goes away, and fails it on a bug. Raises KeyError if
        the study was deleted.
        """
        study = self.handle.study
        try:
            with self:
                # Optuna's cache refuses writes to a trial that it has not read; samplers have a
                # cache too.
                study._thread_local.cached_all_trials = None
                study._get_trials(deepcopy=False, use_cache=True)
                # Sampling needs no lock: each trial has its own seed, so no two workers draw the
                # same.
                study.sampler = self.handle.spec.build_sampler(self._number)
                self.trial = optuna.trial.Trial(study, self.trial_id)
                self.trial.storage = fence_storage(self.trial.storage, self.write)
        except BaseException as error:
            is_transient = not isinstance(error, Exception) or isinstance(error, (KeyError, *DATABASE_ERRORS))
            with suppress(LeaseLost, *DATABASE_ERRORS):
                if is_transient:
                    self.end(TrialState.WAITING)
                else:
                    self.end(TrialState.FAIL, cause=bug_report(error), ending="bug")
            raise

    def write(self, put: Callable[..., bool], *given: Any) -> None:
        """Write with a ``put_`` function of ``rows``. Raises LeaseLost, with nothing written."""
        with self.handle.storage.engine.begin() as connection:
            if not put(connection, self.trial_id, self._token, *given):
                raise self._lost(connection)

    def check(self, connection: Connection | None = None) -> None:
        """Raise LeaseLost if another worker has the trial, or the trial was deleted.

        With a ``connection`` that has the study's lock, the answer is valid until its transaction
        ends.
        """
        opened = nullcontext(connection) if connection is not None else self.handle.storage.engine.connect()
        with opened as connected:
            if not rows.owns(connected, self.trial_id, self._token):
                raise self._lost(connected)

    def hand_back(self, connection: Connection) -> None:
        """Set the trial WAITING under the study's lock, without a history entry."""
        if not rows.end(connection, self.trial_id, token=self._token, state=TrialState.WAITING, values=None):
            raise self._lost(connection)

    def end(
        self,
        state: TrialState,
        values: float | Sequence[float] | None = None,
        *,
        cause: str | None = None,
        record: Callable[[Connection], None] | None = None,
        ending: str | None = None,
        delay: float = 0.0,
        suspend: str | None = None,
    ) -> None:
        """End the trial with ``state`` and ``cause``; WAITING hands it back.

        ``record`` gets the connection of the study's lock: its writes commit with the end or not at
        all. A pruned trial without values gets its last reported one. ``ending`` replaces the state
        in the history. A trial that is handed back waits for ``delay`` seconds. ``suspend`` is the
        reason to suspend the study. Raises LeaseLost, with nothing written, if another worker has
        the trial; ValueError for NaN, or for a number of values that differs from the study's.
        """
        with study_lock(self.handle.storage, self.handle.id) as connection:
            final = self._final_values(connection, state, values)
            if not rows.end(connection, self.trial_id, token=self._token, state=state, values=final):
                raise self._lost(connection)
            if record is not None:
                record(connection)
            set_attr(connection, self.trial_id, CAUSE, cause)
            default = HANDED_BACK if state == TrialState.WAITING else state.name.lower()
            close_attempt(connection, self.trial_id, ending or default)
            if delay:
                rows.set_delay(connection, self.trial_id, delay)
            if suspend is not None:
                suspend_study(connection, self.handle.id, suspend)

    def is_over(self) -> bool:
        """Return whether the trial has ended or was deleted: no worker resumes it."""
        with self.handle.storage.engine.connect() as connection:
            state = rows.state_of(connection, self.trial_id)
        return state is None or state.is_finished()

    def _final_values(
        self, connection: Connection, state: TrialState, values: float | Sequence[float] | None
    ) -> Sequence[float] | None:
        wanted = len(self.handle.spec.directions)
        if values is None and state == TrialState.PRUNED and wanted == 1:
            values = rows.last_report(connection, self.trial_id)
        final = [values] if isinstance(values, int | float) else values
        if state == TrialState.COMPLETE and (final is None or len(final) != wanted):
            raise ValueError(f"a complete trial of this study has {wanted} values, but got {final}")
        return final

    def _lost(self, connection: Connection) -> LeaseLost:
        where = f"trial {self._number} of study `{self.handle.study.study_name}`"
        state = rows.state_of(connection, self.trial_id)
        if state is None:
            return LeaseLost(f"{where} was deleted")
        if state.is_finished() and get_attr(connection, self.trial_id, LEASE) == self._token:
            return LeaseLost(f"{where} had ended before the connection broke", ended=True)
        return LeaseLost(f"{where} went to another worker")
