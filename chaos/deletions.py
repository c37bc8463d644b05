"""Studies that are deleted while a worker runs them, and the checks of what is left."""

from collections.abc import Callable
from contextlib import suppress

from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text

from ..leases.budget import count_states
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, StoreFailed
from ..studies.delete import OF_TRIALS
from ..studies.registry import delete_study

_STRAYS = "SELECT count(*) FROM {} WHERE trial_id NOT IN (SELECT trial_id FROM trials)"


class Deletions:
    """Begins studies that are deleted; ``under_way`` counts those whose trial ran at that time.

    ``create`` makes a study of a given name; ``start_worker`` starts a worker on it, and returns a
    function that says whether it runs.
    """

    def __init__(
        self,
        storage: RDBStorage,
        store: Artifacts,
        *,
        create: Callable[[str], StudyHandle],
        start_worker: Callable[[str], Callable[[], bool]],
    ) -> None:
        self.under_way = 0
        self.storage, self.store = storage, store
        self.start_worker = start_worker
        self._create, self._number = create, 0

    def begin(self) -> "Deletion":
        """Create a study, and start a worker on it."""
        self._number += 1
        return Deletion(self, self._create(f"deleted-{self._number}"))

    def strays(self) -> list[str]:
        """Describe the rows of trials that have no trial any more."""
        found = []
        with self.storage.engine.connect() as connection:
            for table in OF_TRIALS:
                count = connection.scalar(text(_STRAYS.format(table)))
                found += [f"{count} rows of {table} are left of deleted studies"] if count else []
        return found


class Deletion:
    """One study that is going to be deleted, and its worker."""

    def __init__(self, deletions: Deletions, handle: StudyHandle) -> None:
        self._deletions, self._handle = deletions, handle
        self._worker_runs = deletions.start_worker(handle.study.study_name)

    def is_under_way(self) -> bool:
        """Return whether a trial of the study runs; start a worker if an outage ended the other."""
        if count_states(self._handle).get(TrialState.RUNNING, 0) > 0:
            return True
        if not self._worker_runs():
            self._worker_runs = self._deletions.start_worker(self._handle.study.study_name)
        return False

    def delete(self) -> None:
        """Delete the study; without the store, its files are left to `artifacts gc`."""
        self._deletions.under_way += self.is_under_way()
        with suppress(StoreFailed):
            delete_study(self._deletions.storage, self._handle.study.study_name, self._deletions.store)
