"""Find, open, list and delete studies; their trials as plain rows."""

from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from ..errors import UserError
from ..leases.asha_queue import paused_at
from ..leases.budget import count_states, is_finished
from ..leases.history import attempts
from ..search.handle import StudyHandle
from ..search.spec import StudySpec, split_base
from ..spaces.fields import describe
from ..storage.artifacts import Artifacts, Owner, list_files, remove_blob
from ..storage.attributes import CAUSE, FOLDS, METRIC, METRICS, SPEC, SUSPENDED, UID, records_of
from ..storage.database import study_lock
from .delete import delete_rows
from .results import best_trial_id, finished, latency_error, pareto_trials


def find_study(storage: RDBStorage, name: str) -> optuna.Study | None:
    """Return the study ``name`` if Venation created it completely; None otherwise."""
    try:
        study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())
        return None if SPEC.get(study) is None else study
    except KeyError:
        return None


def open_study(storage: RDBStorage, name: str) -> StudyHandle:
    """Open a study with its spec and pruner; UserError if it is missing or of another version."""
    study = need_study(storage, name)
    try:
        spec = StudySpec.model_validate(SPEC.need(study))
    except KeyError:
        raise _missing(storage, name) from None  # deleted a moment ago
    except ValidationError as error:
        raise UserError(
            f"study `{name}` was created by another version of Venation, which this one cannot read"
            f" ({describe(error).rstrip('.')}); run it with that version, or delete it."
        ) from None
    study.pruner = spec.build_pruner()
    return StudyHandle(study, spec, storage)


def need_study(storage: RDBStorage, name: str) -> optuna.Study:
    """Return the study ``name`` without reading its spec.

    Raises UserError that lists the studies if it does not exist.
    """
    study = find_study(storage, name)
    if study is None:
        raise _missing(storage, name)
    return study


def _missing(storage: RDBStorage, name: str) -> UserError:
    if any(study.study_name == name for study in storage.get_all_studies()):
        return UserError(
            f"study `{name}` has no spec: it was made outside Venation, such as by CREATE in the dashboard, or not"
            f" completely; `venation study create {name} --kind classifier --data FOLDER` completes an empty one."
        )
    names = study_names(storage)
    there = f"the studies are: {', '.join(names)}" if names else "there is none yet; `venation study create` makes one"
    return UserError(f"study `{name}` does not exist; {there}.")


def study_rows(storage: RDBStorage) -> list[dict[str, Any]]:
    """Return every study as a row; of a study that another version created, only its name."""
    rows = []
    for name in study_names(storage):
        try:
            rows.append(study_row(open_study(storage, name)))
        except KeyError:
            continue  # deleted meanwhile
        except UserError:
            if find_study(storage, name) is not None:
                rows.append({"study": name, "kind": "of another version"})
    known = max(rows, key=len, default={})
    return [dict.fromkeys(known) | row for row in rows]


def study_names(storage: RDBStorage) -> list[str]:
    """Return the names of Venation's studies in this database."""
    return sorted(s.study_name for s in storage.get_all_studies() if SPEC.get(s) is not None)


def study_row(handle: StudyHandle) -> dict[str, Any]:
    """Return one study as a row: kind, budget, trials by state, best value in the main objective.

    Where they apply, the row also has the constraints, the number of Pareto trials, the reason of a
    pause, and the error of predicted latency.
    """
    counts, spec = count_states(handle), handle.spec
    best = best_trial(handle)
    row = {
        "study": handle.study.study_name,
        "kind": handle.spec.kind,
        "preset": handle.spec.preset,
        "base": handle.spec.base,
        "objective": ", ".join(spec.objectives),
        "budget": handle.spec.trials,
        **{state.name.lower(): counts.get(state, 0) for state in TrialState},
        "best": None if best is None else best.values[0],
        "best_trial": None if best is None else best.number,
    }
    if spec.constraints:
        row["constraints"] = ", ".join(map(str, spec.constraints))
    if len(spec.objectives) > 1:
        row["pareto"] = len(pareto_trials(handle))
    if (reason := SUSPENDED.get(handle.study)) is not None:
        row["paused"] = reason
    if "latency" in spec.costs:
        row["latency_error"] = latency_error(finished(handle))
    return row


def trial_row(trial: FrozenTrial, spec: StudySpec | None = None) -> dict[str, Any]:
    """Return one trial as a row: state, value, length, params, cause of a failure or pause.

    With a ``spec`` the row has the metric that decides between equal values, and of several
    objectives all ``values`` by name; ``value`` is the main one.
    """
    done = trial.state == TrialState.COMPLETE
    names = spec.objectives if spec is not None else ()
    several = {"values": dict(zip(names, trial.values, strict=True)) if done else None} if len(names) > 1 else {}
    ties = () if spec is None or spec.tie_break in names else (spec.tie_break,)
    seconds = None if trial.duration is None else round(trial.duration.total_seconds(), 1)
    return {
        "number": trial.number,
        "state": trial.state.name,
        "value": trial.values[0] if done else None,
        **several,
        **{name: (METRICS.get(trial) or {}).get(name) for name in ties},
        "epochs": num_epochs(trial),
        "seconds": seconds,
        "params": trial.params,
        "cause": paused_at(trial) or CAUSE.get(trial),
    }


def num_epochs(trial: FrozenTrial) -> int:
    """Return the epochs that a trial has reported, or those of its finished folds."""
    folds = FOLDS.get(trial)
    return len(trial.intermediate_values) if folds is None else sum(fold["epochs"] for fold in folds)


def trial_details(handle: StudyHandle, number: int) -> dict[str, Any]:
    """Return the record of one trial: row, config, metrics, curve and files.

    Raises UserError if it does not exist.
    """
    trial = get_trial(handle, number)
    files = [file.filename for file in list_files(trial, storage=handle.storage)]
    return trial_row(trial, handle.spec) | {"curve": trial.intermediate_values, "files": files} | _attributes(trial)


def _attributes(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's records and attributes by key, without the copies made for sorting."""
    shown = {key: value for key, value in trial.user_attrs.items() if not key.startswith(METRIC.key)}
    return shown | records_of(trial)


def get_trial(handle: StudyHandle, number: int) -> FrozenTrial:
    """Return trial ``number``; UserError that gives the range of numbers if it is missing."""
    trials = handle.study.get_trials(deepcopy=False)
    if not 0 <= number < len(trials):
        held = f"its trials are 0 to {len(trials) - 1}" if trials else "it has no trial yet; start a worker"
        raise UserError(f"study `{handle.study.study_name}` has no trial {number}; {held}.")
    return trials[number]


def best_trial(handle: StudyHandle) -> FrozenTrial | None:
    """Return the finished trial with the best value that meets the constraints, or None.

    With several objectives the main one counts; see ``best_trial_id`` for equal trials.
    """
    with handle.storage.engine.connect() as connection:
        trial_id = best_trial_id(connection, handle.id, handle.spec)
    return None if trial_id is None else handle.storage.get_trial(trial_id)


def no_result(handle: StudyHandle) -> UserError:
    """Return the error for a study without a result, with the next step for the user."""
    name = handle.study.study_name
    kept = " that keeps to its constraints" if handle.spec.constraints else ""
    if is_finished(handle):
        said = f"has ended with no finished trial{kept}; see `venation study trials {name}`"
    else:
        said = f"has no finished trial yet{kept}; start `venation worker {name}`"
    return UserError(f"study `{name}` {said}.")


def delete_study(storage: RDBStorage, name: str, artifacts: Artifacts) -> int:
    """Delete the study, its trials and their files; return the number of files removed.

    Studies based on it must be deleted first. Specs are not parsed, so that one of another version
    can be deleted too. Running workers drop their trials; files that they store at that moment are
    left to `artifacts gc`. Raises UserError if the study does not exist, or if another process
    deletes it meanwhile.
    """
    study = need_study(storage, name)
    try:
        return _delete(storage, study, artifacts)
    except KeyError:
        raise _missing(storage, name) from None


def _delete(storage: RDBStorage, study: optuna.Study, artifacts: Artifacts) -> int:
    name = study.study_name
    for other in storage.get_all_studies():
        base = (SPEC.get(other) or {}).get("base")
        if base is not None and split_base(base)[0] == name:
            raise UserError(f"study `{name}` is the base of `{other.study_name}`; delete that one first.")
    trials = study.get_trials(deepcopy=False)
    # Every file, also those that a resumed trial stored again under the same name.
    owners: list[Owner] = [study, *trials]
    from optuna.artifacts import get_all_artifact_meta

    metas = [get_all_artifact_meta(owner, storage=storage) for owner in owners]
    ids = [meta.artifact_id for of_owner in metas for meta in of_owner]
    blobs = [_checkpoint(trial.number, n + 1) for trial in trials for n in range(max(1, len(attempts(trial))))]
    uid = UID.need(study)
    ids += [f"{uid}-{blob}" for blob in blobs]
    with study_lock(storage, study._study_id) as connection:
        if not delete_rows(connection, study._study_id):
            raise _missing(storage, name)
    return sum(remove_blob(artifacts, found) for found in ids)


def checkpoint_id(handle: StudyHandle, number: int, attempt: int = 1) -> str:
    """Return the artifact id of the checkpoint of a trial's ``attempt``-th owner."""
    return f"{UID.need(handle.study)}-{_checkpoint(number, attempt)}"


def _checkpoint(number: int, attempt: int) -> str:
    return f"{number}-checkpoint" if attempt == 1 else f"{number}-checkpoint-{attempt}"
