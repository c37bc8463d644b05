"""The guarantees for a study that has ended, under any faults."""

import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from ..bundles.record import WEIGHTS
from ..errors import UserError
from ..leases.history import LOST, PAUSED, Attempt, attempts
from ..search.handle import StudyHandle
from ..storage import attributes
from ..storage.artifacts import Artifacts, StoredFile, get_file, list_files
from ..storage.records import read_records
from ..studies.registry import checkpoint_id
from ..upkeep.orphans import NEVER_RECORDED, find_orphans
from ..workers.objective import METRICS
from ..workers.train_trial import SAMPLES

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
FILES_OF_TRIAL = len((WEIGHTS, SAMPLES, METRICS))
# The ends of attempts that were interrupted before they could remove their files.
_CUT_SHORT = (LOST, "database", "infrastructure")


def violations(handle: StudyHandle, store: Artifacts) -> list[str]:
    """Describe every violation in a study that has ended.

    The guarantees: exactly the budget has ended, each trial once, and none failed. A finished trial
    has every epoch, the value of its recorded metrics, and one file of each name. The files of
    every trial have the bytes that were stored.
    """
    name = handle.study.study_name
    trials = handle.study.get_trials(deepcopy=False)
    found = [*_budget(handle, trials)]
    for trial in trials:
        found += [f"{name}:{trial.number}: {text}" for text in _trial_violations(handle, trial, store)]
    return found


def leftovers(handle: StudyHandle, store: Artifacts, *, excused: Collection[int] = ()) -> list[str]:
    """Describe the checkpoints that ended trials left. No worker may run the study any more.

    Killed or superseded workers may leave checkpoints. Those are excused: of trials that a process
    of ``excused`` ran, of attempts that were cut short, and, if any process is excused, of trials
    that were pruned while they were paused, because an idle worker removes those.
    """
    stored = {entry.artifact_id for entry in store.entries()}
    found = []
    for trial in handle.study.get_trials(deepcopy=False):
        past = attempts(trial)
        if not any(_is_excused(attempt, excused) for attempt in past):
            ids = [checkpoint_id(handle, trial.number, number) for number in range(1, max(1, len(past)) + 1)]
            found += [f"{handle.study.study_name}:{trial.number}: {blob} is left" for blob in ids if blob in stored]
    return found


def _is_excused(attempt: Attempt, excused: Collection[int]) -> bool:
    end = attempt.get("end")
    return attempt["pid"] in excused or end in _CUT_SHORT or (end == PAUSED and len(excused) > 0)


def num_cut_short(handle: StudyHandle) -> int:
    """Count the attempts that may have left files which they had stored and not yet recorded."""
    return sum(attempt.get("end") in _CUT_SHORT for attempt in _all_attempts(handle))


def lost_leases(handle: StudyHandle) -> list[Attempt]:
    """Return the attempts whose lease expired, so that another worker could take the trial over."""
    return [attempt for attempt in _all_attempts(handle) if attempt.get("end") == LOST]


def _all_attempts(handle: StudyHandle) -> Iterator[Attempt]:
    for trial in handle.study.get_trials(deepcopy=False):
        yield from attempts(trial)


def unrecorded(storage: RDBStorage, store: Artifacts, *, most: int) -> list[str]:
    """Describe files without a record, if there are more than ``most``, which can be explained."""
    entries = list(store.entries())
    orphans = find_orphans(storage, entries, read_records(storage), min_age_s=None)
    count = sum(orphan.reason == NEVER_RECORDED for orphan in orphans)
    return [f"{count} files were stored and never recorded; {most} can be explained"] if count > most else []


def _budget(handle: StudyHandle, trials: Sequence[FrozenTrial]) -> Iterator[str]:
    name = handle.study.study_name
    if sorted(trial.number for trial in trials) != list(range(handle.spec.trials or 0)):
        yield f"{name}: {len(trials)} trials for a budget of {handle.spec.trials}"
    states = Counter(trial.state.name for trial in trials if trial.state not in _ENDED)
    yield from (f"{name}: {count} trials {state}" for state, count in states.items())


def _trial_violations(handle: StudyHandle, trial: FrozenTrial, store: Artifacts) -> Iterator[str]:
    files = list_files(trial, storage=handle.storage)
    yield from _damaged(handle, trial, files, store)
    states = {state.name.lower() for state in _ENDED}
    ends = [attempt["end"] for attempt in attempts(trial) if attempt.get("end") in states]
    if len(ends) > 1:
        yield f"{len(ends)} attempts ended it: {', '.join(ends)}"
    if trial.state != TrialState.COMPLETE:
        return
    steps = sorted(trial.intermediate_values)
    if steps != list(range(handle.spec.config.train.epochs)):
        yield f"epochs {steps} of {handle.spec.config.train.epochs}"
    metrics: dict[str, Any] = attributes.METRICS.get(trial) or {}
    if metrics.get(handle.spec.objective) != trial.values[0]:
        yield f"value {trial.values[0]}, but its metrics say {metrics.get(handle.spec.objective)}"
    records = Counter(key for key in trial.system_attrs if key.startswith(attributes.TRIAL_FILE.key))
    if sum(records.values()) != len(files):
        yield f"{sum(records.values())} records of {len(files)} files: something was stored twice"


def _damaged(handle: StudyHandle, trial: FrozenTrial, files: Sequence[StoredFile], store: Artifacts) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        for file in files:
            try:
                get_file(store, trial, file.filename, to=Path(folder), storage=handle.storage)
            except UserError as error:
                yield str(error)
