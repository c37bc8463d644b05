"""Select the artifacts that gc may evict, and their order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ..errors import UserError
from ..search.handle import StudyHandle
from ..search.spec import split_base
from ..search.ties import ties_first
from ..storage.attributes import BASE, SPEC
from ..storage.records import Record
from ..studies.registry import open_study
from ..studies.results import is_feasible, pareto_trials

_REPLACED, _FAILED, _PRUNED, _NOT_BEST = range(4)
_REASONS = ("replaced", "failed", "pruned", "not among the best")


@dataclass(frozen=True)
class EvictionCandidate:
    """A recorded file that may be evicted, its size in bytes, the reason, and a sort key."""

    record: Record
    size: int
    reason: str
    order: tuple[float, ...]


def eviction_candidates(
    storage: RDBStorage, records: Sequence[Record], sizes: Mapping[str, int], *, keep: int
) -> list[EvictionCandidate]:
    """Return the files of ``records`` that gc may evict, in order.

    ``sizes`` maps artifact ids to bytes.

    The order: files replaced by a newer file of the same trial and name, then files of failed
    trials, of pruned trials, and of completed trials, the worst of each study first. Ties: the
    oldest trial first, and its largest file first.

    Never evicted are files

    - of studies, and of running and waiting trials (paused trials may be promoted),
    - of the best ``keep`` trials of a study by each of its objectives, and of its Pareto front,
    - of trials that another study uses as its base,
    - of studies that this version cannot read,
    - with two records.
    """
    uses = Counter(record.file.artifact_id for record in records)
    of_trials = [record for record in records if record.state in ("FAIL", "PRUNED", "COMPLETE")]
    bases = base_trials(storage)
    candidates: list[EvictionCandidate] = []
    for name, group in groupby(of_trials, key=lambda record: record.study):
        handle = _readable(storage, name)
        if handle is not None:
            kept = {number for study, number in bases if study == name}
            candidates += _of_study(handle, list(group), sizes, keep=keep, bases=kept)
    candidates = [file for file in candidates if uses[file.record.file.artifact_id] == 1]
    return sorted(candidates, key=lambda file: file.order)


def base_trials(storage: RDBStorage) -> set[tuple[str, int]]:
    """Return study name and trial number of every trial that another study uses as its base."""
    bases = set()
    for study in storage.get_all_studies():
        base = (SPEC.get(study) or {}).get("base")
        if base is not None:
            name, number = split_base(base)
            number = BASE.get(study) if number is None else number
            if number is not None:
                bases.add((name, number))
    return bases


def _of_study(
    handle: StudyHandle, records: Sequence[Record], sizes: Mapping[str, int], *, keep: int, bases: set[int]
) -> list[EvictionCandidate]:
    newest = {(row.number, row.file.filename): row for row in sorted(records, key=lambda row: row.file.uploaded)}
    ranks, kept = _rank_and_keep(handle, keep)
    candidates = []
    for row in records:
        assert row.number is not None and row.trial_id is not None
        size = sizes.get(row.file.artifact_id)
        if newest[row.number, row.file.filename] is not row:
            group = _REPLACED
        elif row.number in kept or row.number in bases:
            continue
        else:
            group = {"FAIL": _FAILED, "PRUNED": _PRUNED, "COMPLETE": _NOT_BEST}[str(row.state)]
        if size is not None:
            order = (group, -ranks.get(row.number, 0.0), row.trial_id, -size)
            candidates.append(EvictionCandidate(row, size, _REASONS[group], order))
    return candidates


def _rank_and_keep(handle: StudyHandle, keep: int) -> tuple[dict[int, float], set[int]]:
    """Rank the completed trials, and select those to keep.

    Returns each trial's rank by the first objective, from 0 (best) towards 1, and the numbers of
    the trials to keep.
    """
    complete = handle.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    done = ties_first(complete, handle.spec.tie_break)
    directions = handle.study.directions
    # With one objective, the front would be all trials that share the best value.
    kept = {trial.number for trial in pareto_trials(handle)} if len(directions) > 1 else set()
    rankings = [_ranked(done, axis, direction) for axis, direction in enumerate(directions)]
    for ranked in rankings:
        kept.update(trial.number for trial in ranked[:keep])
    return {trial.number: rank / len(done) for rank, trial in enumerate(rankings[0])}, kept


def _ranked(trials: Sequence[FrozenTrial], axis: int, direction: StudyDirection) -> list[FrozenTrial]:
    """Sort trials by one objective, best first, feasible trials before infeasible ones.

    Equal trials keep their order.
    """
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1

    def key(trial: FrozenTrial) -> tuple[bool, float]:
        return not is_feasible(trial), sign * trial.values[axis]

    return sorted(trials, key=key)


def _readable(storage: RDBStorage, name: str) -> StudyHandle | None:
    try:
        return open_study(storage, name)
    except UserError:
        return None
