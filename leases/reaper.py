"""Reap trials of silent workers: put them back to WAITING. Claims and the reaper process do so.

The server's clock decides. Server downtime does not count: after a restart every worker gets a full
grace period, unless it had been silent for long before.
"""

import logging
import uuid
from collections.abc import Sequence

from optuna.trial import TrialState
from sqlalchemy import Connection, Row, text

from ..search.handle import StudyHandle
from ..storage.attributes import CAUSE, LEASE, LOSSES
from ..storage.database import study_lock
from . import rows
from .attribute_rows import get_attr, set_attr
from .failures import failure_line
from .history import LOST, close_attempt, num_lost

log = logging.getLogger(__name__)

# A worker that was silent for more graces than this before a restart gets no new grace period.
_PATIENT_GRACES = 10

_SILENT = text(
    "SELECT t.trial_id, t.number FROM trials t LEFT JOIN trial_heartbeats h ON h.trial_id = t.trial_id CROSS JOIN"
    " (SELECT timezone('utc', pg_postmaster_start_time()) AS up, timezone('utc', clock_timestamp()) AS now) server"
    " WHERE t.study_id = :study AND t.state = 'RUNNING' AND (h.heartbeat IS NULL OR now - make_interval(secs => :grace)"
    "  > CASE WHEN h.heartbeat BETWEEN up - make_interval(secs => :patience) AND up THEN up ELSE h.heartbeat END)"
    " ORDER BY t.trial_id"
)


def reap(handle: StudyHandle, *, max_losses: int) -> list[int]:
    """Put the trials of silent workers back to WAITING; return their numbers.

    A trial that lost more than ``max_losses`` workers at the same epoch fails with its cause.
    """
    with handle.storage.engine.connect() as connection:
        # Usually no worker is silent, and then no lock is needed.
        if not _silent(handle, connection):
            return []
    with study_lock(handle.storage, handle.id) as connection:
        return reap_locked(handle, connection, max_losses=max_losses)


def reap_locked(handle: StudyHandle, connection: Connection, *, max_losses: int) -> list[int]:
    """Do the work of ``reap`` with a connection that has the study's lock."""
    study, reaped = handle.study.study_name, list[int]()
    for row in _silent(handle, connection):
        trial_id, number = row.trial_id, row.number
        state = _take(connection, trial_id, max_losses)
        if state is None:
            continue
        reaped.append(number)
        log.info("study %s trial %d: its worker fell silent", study, number)
        if state == TrialState.FAIL:
            log.info(failure_line(study, number, get_attr(connection, trial_id, CAUSE) or ""))
    return reaped


def _silent(handle: StudyHandle, connection: Connection) -> Sequence[Row[tuple[int, int]]]:
    given = {"study": handle.id, "grace": handle.spec.grace, "patience": _PATIENT_GRACES * handle.spec.grace}
    return connection.execute(_SILENT, given).all()


def _take(connection: Connection, trial_id: int, max_losses: int) -> TrialState | None:
    """Take a trial from its silent worker; return its new state, None if another tool ended it."""
    with connection.begin_nested() as savepoint:
        state = _end_attempt(connection, trial_id, max_losses)
        if state is None:
            savepoint.rollback()
    return state


def _end_attempt(connection: Connection, trial_id: int, max_losses: int) -> TrialState | None:
    # On preemptible machines every attempt may be interrupted: only attempts without progress
    # count.
    losses = max(1, num_lost(close_attempt(connection, trial_id, LOST)))
    state = TrialState.FAIL if losses > max_losses else TrialState.WAITING
    token = get_attr(connection, trial_id, LEASE)
    if token is None:
        # Another tool created this trial without a token, and the end of a trial needs one.
        token = uuid.uuid4().hex
        set_attr(connection, trial_id, LEASE, token)
    if not rows.end(connection, trial_id, token=token, state=state, values=None):
        return None
    total = 1 + (get_attr(connection, trial_id, LOSSES) or 0)
    set_attr(connection, trial_id, LOSSES, total)
    if state == TrialState.FAIL:
        cause = f"lost: {losses} workers died while running this trial"
        set_attr(connection, trial_id, CAUSE, cause)
    return state
