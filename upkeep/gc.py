"""Garbage-collect an artifact store: remove orphans, then evict files to meet a size budget."""

from dataclasses import dataclass

from optuna.storages import RDBStorage

from ..errors import UserError
from ..storage.artifacts import Artifacts, remove_blob
from ..storage.owner_markers import write_marker
from ..storage.records import delete_records, read_records
from ..storage.sizes import format_size
from .eviction import EvictionCandidate, base_trials, eviction_candidates
from .orphans import MIN_AGE_S, Orphan, find_orphans, other_databases

KEEP = 8  # equal to studies.ensemble.POOL, which is not imported because it loads torch

_BATCH = 200  # records removed in one transaction; a crash leaves at most so many files unrecorded


@dataclass(frozen=True)
class GcResult:
    """The result of a garbage collection or a dry run: removed files, and bytes removed and left.

    ``other_databases`` are the owner markers of other databases in the same store.
    """

    orphans: list[Orphan]
    files: list[EvictionCandidate]
    removed: int
    left: int
    other_databases: list[str]


def collect_garbage(
    storage: RDBStorage,
    artifacts: Artifacts,
    *,
    budget: int | None = None,
    keep: int = KEEP,
    min_age_s: float | None = MIN_AGE_S,
    dry_run: bool = False,
) -> GcResult:
    """Remove orphans, then evict files until the store has at most ``budget`` bytes.

    ``keep`` is for ``eviction_candidates``, ``min_age_s`` for ``find_orphans``. A file's record is
    removed first: a crash in between leaves bytes that the next collection finds, never a record
    without bytes. Raises UserError, before anything is removed, if the budget cannot be met;
    StoreFailed if the store fails.
    """
    # List entries before reading records: a file recorded in between must not look like an orphan.
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
    return GcResult(orphans, files, removed, total - removed, other_databases(storage, entries))


def _choose(candidates: list[EvictionCandidate], left: int, budget: int, keep: int) -> list[EvictionCandidate]:
    """Choose candidates until the budget is met. Raises UserError if all are too few."""
    chosen: list[EvictionCandidate] = []
    for file in candidates:
        if left <= budget:
            break
        chosen.append(file)
        left -= file.size
    if left > budget:
        raise UserError(
            f"a budget of {format_size(budget)} cannot be met: {format_size(left)} must stay (files of the best"
            f" {keep} trials of every study, of base, running and waiting trials, new and foreign files);"
            f" give `--budget {left}` or more, a smaller --keep, or delete a study."
        )
    return chosen


def _remove(
    storage: RDBStorage, artifacts: Artifacts, orphans: list[Orphan], files: list[EvictionCandidate]
) -> tuple[list[Orphan], list[EvictionCandidate]]:
    """Remove the files; return those removed here, since another gc may run at the same time."""
    artifacts.sweep()
    write_marker(artifacts, storage)
    removed = [orphan for orphan in orphans if remove_blob(artifacts, orphan.entry.artifact_id)]
    # An ended trial that is not among the best never will be. Only a new study can need it: as
    # its base.
    bases = base_trials(storage) if files else set()
    free = [file for file in files if (file.record.study, file.record.number) not in bases]
    evicted = []
    for start in range(0, len(free), _BATCH):
        batch = free[start : start + _BATCH]
        ids = delete_records(storage, [file.record for file in batch])
        for artifact_id in ids:
            remove_blob(artifacts, artifact_id)
        evicted += [file for file in batch if file.record.file.artifact_id in ids]
    return removed, evicted
