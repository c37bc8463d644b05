"""Make an artifact store smaller: first what nobody needs, then, for a budget, what can be missed."""

from dataclasses import dataclass

from optuna.storages import RDBStorage

from ..errors import UserError
from ..storage.artifacts import Artifacts, remove_blob
from ..storage.owner_markers import leave_mark
from ..storage.records import forget, read_records
from ..storage.sizes import format_size
from .eviction import EvictionCandidate, eviction_candidates, frozen_trials
from .orphans import MIN_AGE_S, Orphan, find_orphans, others

KEEP = 8  # as many as an ensemble is chosen from: delivery.ensemble.POOL, whose import would bring torch

_BATCH = 200  # records that one transaction forgets: what a crash leaves unrecorded at most


@dataclass(frozen=True)
class Collection:
    """What went, or would go, and what is left; ``others`` are the marks of other databases in the same store."""

    orphans: list[Orphan]
    files: list[EvictionCandidate]
    removed: int
    left: int
    others: list[str]


def collect(
    storage: RDBStorage,
    artifacts: Artifacts,
    *,
    budget: int | None = None,
    keep: int = KEEP,
    min_age_s: float | None = MIN_AGE_S,
    dry_run: bool = False,
) -> Collection:
    """Remove orphans older than ``min_age_s``, then files that can be missed until the store holds ``budget`` bytes.

    ``keep`` is for ``eviction_candidates``, ``min_age_s`` for ``find_orphans``. Sizes are in bytes. A file's record
    goes first: a crash in between leaves bytes that the next collection finds, never a record without bytes. Raises
    UserError, with nothing removed, where the budget cannot be met; StoreFailed.
    """
    # In this order: what is recorded while we look must not look like an orphan.
    entries = list(artifacts.entries())
    records = read_records(storage)
    orphans = find_orphans(storage, entries, records, min_age_s=min_age_s)
    total = sum(entry.size for entry in entries)
    left = total - sum(orphan.entry.size for orphan in orphans)
    files: list[EvictionCandidate] = []
    if budget is not None and left > budget:
        sizes = {entry.artifact_id: entry.size for entry in entries}
        files = _choose(eviction_candidates(storage, records, sizes, keep=keep), left, budget, keep)
    if not dry_run:
        orphans, files = _remove(storage, artifacts, orphans, files)
    gone = {orphan.entry.artifact_id for orphan in orphans} | {file.record.file.artifact_id for file in files}
    removed = sum(entry.size for entry in entries if entry.artifact_id in gone)
    return Collection(orphans, files, removed, total - removed, others(storage, entries))


def _choose(spare: list[EvictionCandidate], left: int, budget: int, keep: int) -> list[EvictionCandidate]:
    """As many of ``spare`` as it takes."""
    chosen: list[EvictionCandidate] = []
    for file in spare:
        if left <= budget:
            break
        chosen.append(file)
        left -= file.size
    if left > budget:
        raise UserError(
            f"a budget of {format_size(budget)} cannot be met: {format_size(left)} must stay (the best {keep} of"
            " every study, bases of others, what runs or waits, what is new or not ours);"
            f" give `--budget {left}` or more, a smaller --keep, or delete a study."
        )
    return chosen


def _remove(
    storage: RDBStorage, artifacts: Artifacts, orphans: list[Orphan], files: list[EvictionCandidate]
) -> tuple[list[Orphan], list[EvictionCandidate]]:
    """Those that went: another collection may run at the same moment."""
    artifacts.sweep()
    leave_mark(artifacts, storage)
    removed = [orphan for orphan in orphans if remove_blob(artifacts, orphan.entry.artifact_id)]
    # Ended trials stay as they are, and who is not among the best never will be: only a new study can need one of them.
    frozen = frozen_trials(storage) if files else set()
    free = [file for file in files if (file.record.study, file.record.number) not in frozen]
    forgotten = []
    for start in range(0, len(free), _BATCH):
        batch = free[start : start + _BATCH]
        ids = forget(storage, [file.record for file in batch])
        for artifact_id in ids:
            remove_blob(artifacts, artifact_id)
        forgotten += [file for file in batch if file.record.file.artifact_id in ids]
    return removed, forgotten
