"""What must hold of a study that has ended, whatever happened to its workers meanwhile."""

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from ..errors import UserError
from ..leases.history import LOST, PAUSED, Attempt, attempts
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, StoredFile, get_file, list_files
from ..storage.records import read_records
from ..studies.context import WEIGHTS
from ..studies.registry import checkpoint_id
from ..upkeep.orphans import NEVER_RECORDED, find_orphans
from ..workers.objective import METRICS, SAMPLES

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
_FILES = (WEIGHTS, SAMPLES, METRICS)
# How attempts end that were cut short, and could not tidy up behind themselves.
_CUT_SHORT = (LOST, "database", "infrastructure")


def violations(handle: StudyHandle, store: Artifacts) -> list[str]:
    """Every violation in words; none for a study that kept its promises. The study must have ended.

    Exactly the budget has ended, each trial once, none of them failed; a finished trial has every epoch, the value that
    its metrics say, and one file of each name; of every trial the bytes are those that were stored.
    """
    name = handle.study.study_name
    trials = handle.study.get_trials(deepcopy=False)
    found = [*_budget(handle, trials)]
    for trial in trials:
        found += [f"{name}:{trial.number}: {what}" for what in _trial_violations(handle, trial, store)]
    return found


def leftovers(handle: StudyHandle, store: Artifacts, *, excused: Collection[int] = ()) -> list[str]:
    """The checkpoints that trials left which have ended, in words. Nobody may be at work on the study any more.

    Who is killed cannot remove them, nor can who lost the trial in between: not counted are those of trials that a
    process of ``excused`` had, or that were cut short, and where anybody is excused those of trials that were pruned
    while they were paused, which no owner tidies up but whoever is idle.
    """
    there = {entry.artifact_id for entry in store.entries()}
    found = []
    for trial in handle.study.get_trials(deepcopy=False):
        past = attempts(trial)
        if not any(_is_excused(one, excused) for one in past):
            ids = [checkpoint_id(handle, trial.number, owner) for owner in range(1, max(1, len(past)) + 1)]
            found += [f"{handle.study.study_name}:{trial.number}: {blob} is left" for blob in ids if blob in there]
    return found


def _is_excused(attempt: Attempt, excused: Collection[int]) -> bool:
    end = attempt.get("end")
    return attempt["pid"] in excused or end in _CUT_SHORT or (end == PAUSED and len(excused) > 0)


def num_cut_short(handle: StudyHandle) -> int:
    """How many attempts at the study's trials may have left files that they had stored, and not yet recorded."""
    trials = handle.study.get_trials(deepcopy=False)
    return sum(one.get("end") in _CUT_SHORT for trial in trials for one in attempts(trial))


def unrecorded(storage: RDBStorage, store: Artifacts, *, cut_short: int) -> list[str]:
    """Files that belong to nobody, in words, if there are more than so many attempts that were cut short can leave."""
    entries = list(store.entries())
    orphans = find_orphans(storage, entries, read_records(storage), min_age_s=None)
    count = sum(orphan.reason == NEVER_RECORDED for orphan in orphans)
    most = cut_short * len(_FILES)
    return [f"{count} files were stored and never recorded; {most} can be explained"] if count > most else []


def best_worsened(values: Sequence[float], *, maximise: bool) -> bool:
    """Whether the best value, as seen from time to time, ever became worse."""
    steps = zip(values, values[1:], strict=False)
    return any(later < earlier if maximise else later > earlier for earlier, later in steps)


def _budget(handle: StudyHandle, trials: Sequence[FrozenTrial]) -> Iterator[str]:
    name = handle.study.study_name
    if sorted(trial.number for trial in trials) != list(range(handle.spec.trials or 0)):
        yield f"{name}: {len(trials)} trials for a budget of {handle.spec.trials}"
    states = Counter(trial.state.name for trial in trials if trial.state not in _ENDED)
    yield from (f"{name}: {count} trials {state}" for state, count in states.items())


def _trial_violations(handle: StudyHandle, trial: FrozenTrial, store: Artifacts) -> Iterator[str]:
    files = list_files(trial, storage=handle.storage)
    yield from _damaged(handle, trial, files, store)
    told = [one["end"] for one in attempts(trial) if one.get("end") in {state.name.lower() for state in _ENDED}]
    if len(told) > 1:
        yield f"{len(told)} attempts ended it: {', '.join(told)}"
    if trial.state != TrialState.COMPLETE:
        return
    steps = sorted(trial.intermediate_values)
    if steps != list(range(handle.spec.config.train.epochs)):
        yield f"epochs {steps} of {handle.spec.config.train.epochs}"
    metrics: dict[str, Any] = trial.user_attrs.get("metrics", {})
    if metrics.get(handle.spec.objective) != trial.values[0]:
        yield f"told {trial.values[0]}, but its metrics say {metrics.get(handle.spec.objective)}"
    records = Counter(key for key in trial.system_attrs if key.startswith("artifacts:"))
    if sum(records.values()) != len(files):
        yield f"{sum(records.values())} records of {len(files)} files: something was stored twice"


def _damaged(handle: StudyHandle, trial: FrozenTrial, files: Sequence[StoredFile], store: Artifacts) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        for file in files:
            try:
                get_file(store, trial, file.filename, to=Path(folder), storage=handle.storage)
            except UserError as error:
                yield str(error)
