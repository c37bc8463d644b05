"""Which files of trials can be missed, and in which order, when a store has to become smaller."""

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
from ..storage.records import Record
from ..studies.base import BASE
from ..studies.registry import SPEC, open_study
from ..studies.results import is_feasible, pareto_trials

_OLD, _FAILED, _PRUNED, _WORSE = range(4)
_WHY = ("replaced", "failed", "pruned", "not among the best")


@dataclass(frozen=True)
class EvictionCandidate:
    """A recorded file that can be missed, its size in bytes, and why; the smallest ``order`` goes first."""

    record: Record
    size: int
    why: str
    order: tuple[float, ...]


def eviction_candidates(
    storage: RDBStorage, records: Sequence[Record], sizes: Mapping[str, int], *, keep: int
) -> list[EvictionCandidate]:
    """What can be missed of ``records``, in the order in which it should go; ``sizes`` are those of the store's files.

    First what a newer file of the same trial and name replaced, then files of failed trials, of pruned ones, and of
    finished ones, the worst of its study first; among equals the oldest trial, and its largest file. Never: files of
    studies, of trials that run or wait (paused ones may be promoted), of the best ``keep`` of a study by each of its
    objectives, of its Pareto front, of trials that another study freezes, of studies that this version cannot read, and
    bytes with two records.
    """
    uses = Counter(record.file.artifact_id for record in records)
    of_trials = [record for record in records if record.state in ("FAIL", "PRUNED", "COMPLETE")]
    frozen = frozen_trials(storage)
    spare: list[EvictionCandidate] = []
    for name, group in groupby(of_trials, key=lambda record: record.study):
        handle = _readable(storage, name)
        if handle is not None:
            kept = {number for study, number in frozen if study == name}
            spare += _of_study(handle, list(group), sizes, keep=keep, frozen=kept)
    spare = [file for file in spare if uses[file.record.file.artifact_id] == 1]
    return sorted(spare, key=lambda file: file.order)


def frozen_trials(storage: RDBStorage) -> set[tuple[str, int]]:
    """The study's name and the number of every trial that another study stands on."""
    frozen = set()
    for study in storage.get_all_studies():
        base = study.user_attrs.get(SPEC, {}).get("base")
        if base is not None:
            name, number = split_base(base)
            number = study.user_attrs.get(BASE) if number is None else number
            if number is not None:
                frozen.add((name, number))
    return frozen


def _of_study(
    handle: StudyHandle, records: Sequence[Record], sizes: Mapping[str, int], *, keep: int, frozen: set[int]
) -> list[EvictionCandidate]:
    newest = {(row.number, row.file.filename): row for row in sorted(records, key=lambda row: row.file.uploaded)}
    place, kept = _places(handle, keep)
    spare = []
    for row in records:
        assert row.number is not None and row.trial_id is not None
        size = sizes.get(row.file.artifact_id)
        if newest[row.number, row.file.filename] is not row:
            group = _OLD
        elif row.number in kept or row.number in frozen:
            continue
        else:
            group = {"FAIL": _FAILED, "PRUNED": _PRUNED, "COMPLETE": _WORSE}[str(row.state)]
        if size is not None:
            order = (group, -place.get(row.number, 0.0), row.trial_id, -size)
            spare.append(EvictionCandidate(row, size, _WHY[group], order))
    return spare


def _places(handle: StudyHandle, keep: int) -> tuple[dict[int, float], set[int]]:
    """How far down its study's list each finished trial is, from 0 to 1, by the first objective; and who must stay."""
    done = handle.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    directions = handle.study.directions
    # With one objective, all that are equally good would be its front.
    kept = {trial.number for trial in pareto_trials(handle)} if len(directions) > 1 else set()
    lists = [_ranked(done, axis, direction) for axis, direction in enumerate(directions)]
    for ranked in lists:
        kept.update(trial.number for trial in ranked[:keep])
    return {trial.number: place / len(done) for place, trial in enumerate(lists[0])}, kept


def _ranked(trials: Sequence[FrozenTrial], axis: int, direction: StudyDirection) -> list[FrozenTrial]:
    """The best by one objective first, those that keep the constraints before those that do not."""
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1

    def key(trial: FrozenTrial) -> tuple[bool, float, int]:
        return not is_feasible(trial), sign * trial.values[axis], trial.number

    return sorted(trials, key=key)


def _readable(storage: RDBStorage, name: str) -> StudyHandle | None:
    try:
        return open_study(storage, name)
    except UserError:
        return None
