"""Trials whose worker fell silent go back to the queue: a claiming worker looks for them, and `venation worker reap`.

The server's clock alone decides. Its own silence is not the workers': after a restart each has the grace anew, unless
it had not been heard of for long before.
"""

import logging
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from optuna.trial import TrialState
from sqlalchemy import Connection, Row, text

from ..storage.attributes import CAUSE, LEASE, LOSSES
from ..storage.database import study_lock
from . import rows
from .failures import failure_line
from .history import LOST, close_attempt, num_lost

if TYPE_CHECKING:
    from ..search.handle import StudyHandle

log = logging.getLogger(__name__)

# How many graces a worker may have been silent when the server stopped and still be waited for.
_PATIENT_GRACES = 10

_SILENT = text(
    "SELECT t.trial_id, t.number FROM trials t LEFT JOIN trial_heartbeats h ON h.trial_id = t.trial_id CROSS JOIN"
    " (SELECT timezone('utc', pg_postmaster_start_time()) AS up, timezone('utc', clock_timestamp()) AS now) server"
    " WHERE t.study_id = :study AND t.state = 'RUNNING' AND (h.heartbeat IS NULL OR now - make_interval(secs => :grace)"
    "  > CASE WHEN h.heartbeat BETWEEN up - make_interval(secs => :patience) AND up THEN up ELSE h.heartbeat END)"
    " ORDER BY t.trial_id"
)


def reap(handle: "StudyHandle", *, max_losses: int) -> list[int]:
    """Put the trials of the study whose worker fell silent back to WAITING; returns their numbers.

    One that has cost more than ``max_losses`` workers without coming any further is told FAIL with its cause.
    """
    with handle.storage.engine.connect() as connection:
        # Mostly nobody is silent: the lock is not asked for then.
        if not _silent(handle, connection):
            return []
    with study_lock(handle.storage, handle.id) as connection:
        return reap_locked(handle, connection, max_losses=max_losses)


def reap_locked(handle: "StudyHandle", connection: Connection, *, max_losses: int) -> list[int]:
    """``reap`` by the connection of the study's lock."""
    study, reaped = handle.study.study_name, list[int]()
    for row in _silent(handle, connection):
        trial_id, number = row.trial_id, row.number
        state = _take(connection, trial_id, max_losses)
        if state is None:
            continue
        reaped.append(number)
        log.info("study %s trial %d: its worker fell silent", study, number)
        if state == TrialState.FAIL:
            log.info(failure_line(study, number, rows.get_attr(connection, trial_id, CAUSE) or ""))
    return reaped


def _silent(handle: "StudyHandle", connection: Connection) -> Sequence[Row[tuple[int, int]]]:
    given = {"study": handle.id, "grace": handle.spec.grace, "patience": _PATIENT_GRACES * handle.spec.grace}
    return connection.execute(_SILENT, given).all()


def _take(connection: Connection, trial_id: int, max_losses: int) -> TrialState | None:
    """Take a trial from its silent worker: its new state, or None if another tool has ended it meanwhile."""
    with connection.begin_nested() as savepoint:
        state = _end_attempt(connection, trial_id, max_losses)
        if state is None:
            savepoint.rollback()
    return state


def _end_attempt(connection: Connection, trial_id: int, max_losses: int) -> TrialState | None:
    # Every attempt may be interrupted, on machines that are let go at any time: what counts is whether one got on.
    losses = max(1, num_lost(close_attempt(connection, trial_id, LOST)))
    state = TrialState.FAIL if losses > max_losses else TrialState.WAITING
    token = rows.get_attr(connection, trial_id, LEASE)
    if token is None:
        # Another tool asked for this trial, and owns it without a word. Whoever ends a trial needs a token.
        token = uuid.uuid4().hex
        rows.set_attr(connection, trial_id, LEASE, token)
    if not rows.end(connection, trial_id, token=token, state=state, values=None):
        return None
    total = 1 + (rows.get_attr(connection, trial_id, LOSSES) or 0)
    rows.set_attr(connection, trial_id, LOSSES, total)
    if state == TrialState.FAIL:
        cause = f"lost: {losses} workers died while running this trial"
        rows.set_attr(connection, trial_id, CAUSE, cause)
    return state
