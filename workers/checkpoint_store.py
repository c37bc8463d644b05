"""The checkpoint of a trial that runs: in the artifact store, under an id of each owner's own.

The owner's attempt is its fencing token (M. Kleppmann, How to do distributed locking, 2016): a worker that was stopped,
lost its trial and wakes writes under its former attempt, and never over what the new owner keeps.
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
    """The checkpoints of one trial, as its present owner reads and writes them."""

    def __init__(self, context: StudyContext, lease: Lease) -> None:
        self._store = context.artifacts
        self._lease = lease
        self._tidy = False

    @functools.cached_property
    def _ids(self) -> list[str]:
        """The owner's id, then those of the earlier owners, the last one first."""
        lease = self._lease
        return [checkpoint_id(lease.handle, lease.trial.number, attempt) for attempt in range(lease.attempt, 0, -1)]

    def restore(self, to: Path) -> bool:
        """Fetch the newest checkpoint that any owner has left into the file ``to``; False if there is none."""
        return any(read_blob(self._store, blob, to) for blob in self._ids)

    def keep(self, path: Path) -> None:
        """Store ``path`` as the owner's checkpoint; those of earlier owners go then. Raises LeaseLost before that."""
        self._lease.check()
        write_blob(self._store, self._ids[0], path)
        if not self._tidy:
            _remove(self._store, self._ids[1:])
            self._tidy = True

    def drop(self) -> None:
        """Remove them all: the trial has ended, or cannot go on from them."""
        _remove(self._store, self._ids)

    def drop_late(self) -> None:
        """Remove the own one if the trial has ended elsewhere.

        While it runs elsewhere the new owner may be about to read it, and removes it at the trial's end. Raises
        KeyError if the study was deleted.
        """
        if self._lease.is_over():
            _remove(self._store, self._ids[:1])


def drop_checkpoints(context: StudyContext, number: int) -> None:
    """Remove whatever any owner has left of trial ``number``, which nobody owns any more."""
    trial = context.handle.study.get_trials(deepcopy=False)[number]
    owners = range(1, max(1, len(attempts(trial))) + 1)
    _remove(context.artifacts, [checkpoint_id(context.handle, number, attempt) for attempt in owners])


def _remove(store: Store, blobs: Sequence[str]) -> None:
    """Remove them, or leave them to ``venation artifacts gc``: the trial does not end otherwise for want of a store."""
    try:
        for blob in blobs:
            remove_blob(store, blob)
    except (UserError, OSError) as error:
        log.warning("a checkpoint stays until it is collected: %s", error)
