"""Claim the next trial of a study, or prune the trials that nothing can resume."""

import uuid

from sqlalchemy import Connection

from ..search.handle import StudyHandle
from ..storage.database import study_lock
from . import rows
from .asha_queue import next_waiting, prune_left
from .budget import check_exists, deleted_error, mark_start, within_budget
from .history import new_holder
from .lease import Lease
from .reaper import reap_locked
from .suspension import suspension_reason


def claim(handle: StudyHandle, *, max_losses: int, device: str = "") -> Lease | None:
    """Claim the next trial; return None if the budget is taken, or the study is paused.

    Trials of silent workers go back to the queue first. One that lost more than ``max_losses``
    workers at the same epoch fails; its checkpoint stays until gc. A trial at a rung can be claimed
    once it is promotable, a retried trial once its delay is over. ``device`` is for the trial's
    history. Raises UserError if the study was deleted.
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
    """Claim the next trial in one transaction; return None if there is none."""
    token = uuid.uuid4().hex
    with study_lock(handle.storage, handle.id) as connection:
        if not rows.lock_study(connection, handle.id):
            raise deleted_error(handle)
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
    """Choose a waiting trial, or create one if the budget has room."""
    more = within_budget(handle, connection)
    if handle.spec.rungs:
        trial_id = next_waiting(handle, connection, last=not more)
    else:
        trial_id = rows.next_trial(connection, handle.id)
    if trial_id is None and more:
        trial_id = rows.create_trial(connection, handle.id)
    return trial_id


def prune_paused(handle: StudyHandle) -> list[int]:
    """Prune the paused trials of a study with nothing left to run; return their numbers.

    Raises UserError if the study was deleted.
    """
    if not handle.spec.rungs:
        return []
    with study_lock(handle.storage, handle.id) as connection:
        if not rows.lock_study(connection, handle.id):
            raise deleted_error(handle)
        return [] if within_budget(handle, connection) else prune_left(handle, connection)
