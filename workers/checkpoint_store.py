"""Checkpoints of a running trial in the artifact store, under one id for each owner.

The attempt number is the fencing token (M. Kleppmann, How to do distributed locking, 2016): a
suspended worker that resumes after losing its lease writes under its former attempt, and never
overwrites the new owner's checkpoint.
"""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..leases.history import attempts
from ..leases.lease import Lease
from ..storage.artifacts import Store, read_blob, remove_blob, write_blob
from ..studies.context import StudyContext
from ..studies.registry import checkpoint_id

log = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints of one trial, for its current owner."""

    def __init__(self, context: StudyContext, lease: Lease) -> None:
        self._store = context.artifacts
        self._lease = lease
        self._removed_earlier = False

    @functools.cached_property
    def _ids(self) -> list[str]:
        """The id of the owner's checkpoint, then those of earlier owners, the latest first."""
        lease = self._lease
        return [checkpoint_id(lease.handle, lease.trial.number, attempt) for attempt in range(lease.attempt, 0, -1)]

    def restore(self, to: Path) -> bool:
        """Fetch the newest checkpoint of any owner into ``to``; return False if there is none."""
        return any(read_blob(self._store, blob, to) for blob in self._ids)

    def save(self, path: Path) -> None:
        """Store the owner's checkpoint, and remove those of earlier owners. Raises LeaseLost."""
        self._lease.check()
        write_blob(self._store, self._ids[0], path)
        if not self._removed_earlier:
            _remove(self._store, self._ids[1:])
            self._removed_earlier = True

    def drop(self) -> None:
        """Remove the checkpoints of all owners: the trial has ended, or cannot use them."""
        _remove(self._store, self._ids)

    def drop_stale(self) -> None:
        """Remove the own checkpoint after the lease was lost, if the trial has ended.

        While the trial runs elsewhere, its new owner may still read the checkpoint, and removes it
        at the end. Raises KeyError if the study was deleted.
        """
        if self._lease.is_over():
            _remove(self._store, self._ids[:1])


def drop_checkpoints(context: StudyContext, number: int) -> None:
    """Remove the checkpoints of all owners of trial ``number``, which no worker runs."""
    trial = context.handle.study.get_trials(deepcopy=False)[number]
    owners = range(1, max(1, len(attempts(trial))) + 1)
    _remove(context.artifacts, [checkpoint_id(context.handle, number, attempt) for attempt in owners])


def _remove(store: Store, blobs: Sequence[str]) -> None:
    """Remove blobs; if the store fails, leave them to ``venation artifacts gc``."""
    try:
        for blob in blobs:
            remove_blob(store, blob)
    except (UserError, OSError) as error:
        log.warning("a checkpoint stays until it is collected: %s", error)
