"""What must hold of a study that has ended, whatever happened to its workers meanwhile."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from ..errors import UserError
from ..search.lease import StudyHandle
from ..storage.artifacts import Artifacts, StoredFile, get_file, list_files

_TWICE = text(
    "SELECT t.number, count(*) FROM trial_values v JOIN trials t USING (trial_id) WHERE t.study_id = :study"
    " GROUP BY t.number, v.objective HAVING count(*) > 1"
)
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def violations(handle: StudyHandle, store: Artifacts) -> list[str]:
    """Every violation in words; none for a study that kept its promises. The study must have ended.

    Exactly the budget has ended, each trial once, none of them failed; a finished trial has every epoch, the value that
    its metrics say, and one file of each name; of every trial the bytes are those that were stored.
    """
    name = handle.study.study_name
    trials = handle.study.get_trials(deepcopy=False)
    found = [*_budget(handle, trials), *_told_twice(handle)]
    for trial in trials:
        found += [f"{name}:{trial.number}: {what}" for what in _trial_violations(handle, trial, store)]
    return found


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


def _told_twice(handle: StudyHandle) -> Iterator[str]:
    with handle.storage.engine.connect() as connection:
        for number, count in connection.execute(_TWICE, {"study": handle.id}).all():
            yield f"{handle.study.study_name}:{number}: {count} results"


def _trial_violations(handle: StudyHandle, trial: FrozenTrial, store: Artifacts) -> Iterator[str]:
    files = list_files(trial, storage=handle.storage)
    yield from _damaged(handle, trial, files, store)
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
