"""Migrate a study: a new one with another space, which keeps the trials that fit."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from ..errors import UsageError, UserError
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..spaces.base_view import on_base, searches_view, split_view, view_values
from ..spaces.fields import describe, set_fields
from ..spaces.space import Scalar, Space
from ..spaces.space_file import read_space
from ..storage.artifacts import Artifacts, StoredFile, file_attr, get_file, list_files, remove_blob, store_file
from ..storage.attributes import CONSTRAINT, CURVES, METRIC, MIGRATED_FROM, RECORDS, VERSUS_PROBE, records_of
from ..trials.trial_config import TrialConfig
from .base import base_study, recorded_config
from .checks import check_config, check_constraints, check_fields
from .create import create_study
from .data import DIGESTS, load_split
from .data_checks import check_masks
from .design import ENCODER, fix_encoder
from .first_weights import stored_first_weights
from .placement import Misfit, place
from .registry import find_study


@dataclass(frozen=True)
class Migrated:
    """A new study, and the outcome of each trial of the old one."""

    handle: StudyHandle
    rows: list[dict[str, Any]]


def migrate_study(
    old: StudyHandle,
    artifacts: Artifacts,
    name: str,
    *,
    space: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    trials: int | None = None,
) -> Migrated:
    """Create the study ``name``: ``old`` with another space, settings and budget.

    ``space`` is a file. Finished trials that are points of the new study are copied with their
    files, under new numbers; they count towards the budget. Each row has a trial's ``number`` in
    the old study, the number of its ``copy`` in the new one, and for trials left behind the
    ``reason``. Raises UsageError for a space, a setting or a budget that does not fit, UserError if
    ``name`` exists.
    """
    if find_study(old.storage, name) is not None:
        raise UserError(f"study `{name}` exists; choose another name for the study that `migrate` makes.")
    if old.spec.search == "oneshot":
        raise UsageError(
            f"study `{old.study.study_name}` has a supernet of its own space, whose ranking fits no other; make a new"
            " study with `--search oneshot --space FILE`."
        )
    spec = _new_spec(old, space, dict(settings or {}), trials)
    fits, reasons = _sort_out(old, spec)
    _check_budget(spec, fits)
    files: list[StoredFile] = []
    try:
        copies = [_copy(old, artifacts, trial, spec, params, files) for trial, params in fits]
        first = None if spec.init is None else stored_first_weights(old, artifacts)
        prints = _digests(old, artifacts)
        handle, new = create_study(old.storage, artifacts, name, spec, prints, copies=copies, first=first)
        if not new:
            raise UserError(f"study `{name}` was created by another process meanwhile; choose another name.")
    except UserError:
        # Any other failure may leave rows in an unfinished study, which a second call completes.
        _drop(artifacts, files)
        raise
    recorded = _recorded(handle)
    _drop(artifacts, [file for file in files if file.artifact_id not in recorded])
    return Migrated(handle, _rows(old, handle, reasons))


def _new_spec(old: StudyHandle, space: Path | None, settings: dict[str, Any], trials: int | None) -> StudySpec:
    spec = old.spec
    searched = spec.space if space is None else read_space(space)
    check_fields(spec.kind, [*settings, *(dimension.name for dimension in searched.dimensions)])
    if spec.init is not None:
        if fixed := ENCODER & settings.keys():
            raise UsageError(
                f"study `{old.study.study_name}` starts from {spec.init}, whose encoder stays: leave `{min(fixed)}`"
                " out, or create a study without `--init`."
            )
        searched = fix_encoder(searched, space, str(spec.init))
    searched = searched.without(set(settings))
    own, changed = split_view(spec.kind, settings)
    based = None if spec.base is None else base_study(old).spec.config
    config, view = set_fields(spec.config, own), spec.view | changed
    config = _checked(old, config, searched, view)
    whole = on_base(config, based, view)
    if spec.constraints:
        check_constraints(spec.constraints, spec.kind, whole, searched, len(spec.classes))
    if based is not None and (view or searches_view(dimension.name for dimension in searched.dimensions)):
        # As in ``design.check_design``: trial 0 is a point of the space around the base's values.
        config = config.model_copy(update={"data": whole.data})
    fields = spec.model_dump() | {
        "config": config,
        "view": view_values(whole, view),
        "space": searched,
        "starts": tuple(start for start in spec.starts if not start.keys() & settings.keys()),
        "trials": trials or spec.trials,
    }
    try:
        return StudySpec.model_validate(fields)
    except ValidationError as error:
        raise UsageError(describe(error)) from None


def _checked(old: StudyHandle, config: TrialConfig, space: Space, view: Mapping[str, Any]) -> TrialConfig:
    """Return ``config`` if a new study may start from it, by the checks of `study create`."""
    spec = old.spec
    learns = config.train.mask_weight > 0 or any(d.name == "train.mask_weight" for d in space.dimensions)
    if spec.kind.facts.task == "classify" and learns and not spec.config.train.mask_weight:
        check_masks(spec.kind, load_split(Path(spec.data), spec.split)[0], config, space)
    base = None if spec.base is None else base_study(old).spec
    return check_config(spec.kind, config, base, space, num_classes=len(spec.classes), view=view)


def _sort_out(old: StudyHandle, spec: StudySpec) -> tuple[list[tuple[FrozenTrial, dict[str, Scalar]]], dict[int, str]]:
    """Return the trials that fit, with their params, and the reasons of the others.

    The trial of the new study's own config comes first.
    """
    fits: list[tuple[FrozenTrial, dict[str, Scalar]]] = []
    reasons: dict[int, str] = {}
    for trial in old.study.get_trials(deepcopy=False):
        if trial.state != TrialState.COMPLETE:
            reasons[trial.number] = f"it is {trial.state.name}, and only COMPLETE trials are copied"
            continue
        try:
            fits.append((trial, place(recorded_config(trial), spec)))
        except Misfit as misfit:
            reasons[trial.number] = str(misfit)
        except ValidationError as error:
            reasons[trial.number] = f"its config is another version's: {describe(error)}"
    first = spec.space.point(spec.config)
    fits.sort(key=lambda fit: fit[1] != first)
    return fits, reasons


def _check_budget(spec: StudySpec, fits: list[tuple[FrozenTrial, dict[str, Scalar]]]) -> None:
    # The config is trial 0, a copy or a trial to run, unless the space contains no value of it.
    first = spec.space.point(spec.config)
    own = bool(first) and not any(params == first for _, params in fits)
    if spec.trials is not None and spec.trials < len(fits) + own:
        raise UsageError(
            f"{len(fits)} trials fit the new space{' and the new config is one more' if own else ''}, and the budget is"
            f" {spec.trials}; give `--trials {len(fits) + own}` or more."
        )


def _copy(
    old: StudyHandle,
    artifacts: Artifacts,
    trial: FrozenTrial,
    spec: StudySpec,
    params: dict[str, Scalar],
    files: list[StoredFile],
) -> FrozenTrial:
    """Return ``trial`` as a row of the new study.

    Its files get new ids and join ``files`` as soon as they are stored.
    """
    drawn = optuna.trial.FixedTrial(dict(params))
    # A FixedTrial returns the given params and records their distributions.
    spec.space.suggest(cast(optuna.Trial, drawn), spec.config)
    own: list[StoredFile] = []
    with tempfile.TemporaryDirectory(prefix="venation-") as scratch:
        for file in list_files(trial, storage=old.storage):
            path = get_file(artifacts, trial, file.filename, to=Path(scratch), storage=old.storage)
            own.append(store_file(artifacts, path))
            files.append(own[-1])
    # The new study has a linear probe of its own.
    records = {key: value for key, value in records_of(trial).items() if key != VERSUS_PROBE.key}
    dropped = {*(record.key for record in RECORDS), METRIC.at(VERSUS_PROBE.key).key}
    kept = {key: value for key, value in trial.user_attrs.items() if key not in dropped}
    copy = optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        values=trial.values,
        params=drawn.params,
        distributions=drawn.distributions,
        intermediate_values=trial.intermediate_values,
        user_attrs=kept | {MIGRATED_FROM.key: f"{old.study.study_name}:{trial.number}"},
        system_attrs={attr.key: value for attr, value in map(file_attr, own)} | records | _of_objectives(trial),
    )
    copy.datetime_start, copy.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copy


def _of_objectives(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's attributes for several objectives and for constraints."""
    return {
        key: value for key, value in trial.system_attrs.items() if key == CURVES.key or key.startswith(CONSTRAINT.key)
    }


def _recorded(handle: StudyHandle) -> set[str]:
    trials = handle.study.get_trials(deepcopy=False)
    return {file.artifact_id for trial in trials for file in list_files(trial, storage=handle.storage)}


def _drop(artifacts: Artifacts, files: Iterable[StoredFile]) -> None:
    for file in files:
        remove_blob(artifacts, file.artifact_id)


def _digests(old: StudyHandle, artifacts: Artifacts) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="venation-") as scratch:
        path = get_file(artifacts, old.study, DIGESTS, to=Path(scratch) / DIGESTS)
        digests: dict[str, str] = json.loads(path.read_text())
    return digests


def _rows(old: StudyHandle, new: StudyHandle, reasons: Mapping[int, str]) -> list[dict[str, Any]]:
    copied = {MIGRATED_FROM.get(trial): trial.number for trial in new.study.get_trials(deepcopy=False)}
    rows = []
    for trial in old.study.get_trials(deepcopy=False):
        copy = copied.get(f"{old.study.study_name}:{trial.number}")
        rows.append(
            {
                "number": trial.number,
                "outcome": "left" if copy is None else "copied",
                "copy": copy,
                "value": trial.values[0] if trial.state == TrialState.COMPLETE else None,
                "reason": reasons.get(trial.number),
            }
        )
    return rows
