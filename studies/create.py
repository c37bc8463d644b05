"""Resolve what a user asks for into a study's spec, and create the study."""

import re
import uuid
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from pydantic import ValidationError

from ..data.data_config import SplitConfig
from ..data.fingerprint import fingerprint
from ..errors import UsageError, UserError
from ..search.constraints import read_constraints
from ..search.handle import StudyHandle
from ..search.heartbeat import check_heartbeat
from ..search.oneshot import design_oneshot
from ..search.spec import StudySpec, default_pruner, spec_differences, split_base
from ..spaces.fields import describe, set_fields
from ..spaces.presets import recipe
from ..spaces.space import Scalar
from ..spaces.space_file import read_space
from ..storage.artifacts import Artifacts
from ..storage.database import study_lock
from ..trials.kinds import Kind, read_kind
from .base import check_base
from .checks import check_config, check_constraints, check_data, check_fields, check_masks, check_objectives
from .data import load_split, record_digests
from .registry import CREATED, SPEC, UID, open_study
from .warm_start import check_source, warm_starts

NAMES = r"\w[\w.-]{0,99}"
MIGRATED = "migrated_from"  # of a trial that was copied: STUDY:NUMBER


def build_spec(
    storage: RDBStorage,
    *,
    kind: Kind | str,
    data: Path | None = None,
    base: str | None = None,
    preset: str = "default",
    space: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    objective: str | Sequence[str] | None = None,
    constraint: str | Sequence[str] = (),
    warm_start: str | None = None,
    **options: Any,
) -> tuple[StudySpec, dict[str, str]]:
    """The spec of a study and the digests of its data.

    ``space`` is a file that replaces the preset's space; ``settings`` fixes config fields by dotted name and takes
    them out of the space. Of several names in ``objective`` the first is the main one; each ``constraint`` is written
    ``parameters<=5e6``. ``warm_start`` names a study whose best trials come first. ``options`` are further fields of
    StudySpec (trials, timeout, search, seed, sampler, pruner, heartbeat); None leaves the default. A decoder or booster
    study has the data, the split and the seed of its base. Raises UsageError for a name that does not exist or a value
    out of range, UserError for a base that cannot serve, DataError for bad data.
    """
    kind = read_kind(kind)
    chosen = recipe(preset, kind)
    settings = dict(settings or {})
    searched = chosen.space if space is None else read_space(space)
    config = set_fields(chosen.config, settings)
    check_fields(kind, [*settings, *(dimension.name for dimension in searched.dimensions)])
    objectives = check_objectives(kind, objective)
    constraints = read_constraints((constraint,) if isinstance(constraint, str) else constraint)
    options = {name: value for name, value in options.items() if value is not None}
    if "timeout" in options and "trials" not in options:
        options["trials"] = None
    base_spec = _base_spec(storage, kind, base)
    if base_spec is None:
        if data is None:
            raise UsageError(f"a {kind} study needs `--data`: the folder or CSV file of its images.")
        split = _split(options.get("seed", 0))
    else:
        data, split = data or Path(base_spec.data), base_spec.split
        options = {"seed": base_spec.seed, "heartbeat": base_spec.heartbeat} | options
    options = {"pruner": default_pruner(kind, config, objectives)} | options
    seed = options.get("seed", 0)
    config = set_fields(config, {"train.seed": seed, "boost.seed": seed})
    manifest, prints = load_split(Path(data), split)
    check_data(fingerprint(prints), base_spec)
    check_masks(kind, manifest, config, searched)
    config = check_config(kind, config, base_spec, searched, num_classes=len(manifest.classes))
    searched = searched.without(set(settings))
    check_constraints(
        constraints,
        kind,
        config.with_base(None if base_spec is None else base_spec.config),
        searched,
        len(manifest.classes),
    )
    starts = [dict(start) for start in chosen.starts if not start.keys() & settings.keys()]
    if options.get("search") == "oneshot":
        budget = options.get("trials", StudySpec.model_fields["trials"].default)
        arranged = design_oneshot(kind, config, searched, trials=budget, seed=seed)
        config, searched, starts = arranged.config, arranged.space, arranged.starts
    if warm_start is not None:
        source = open_study(storage, warm_start)
        check_source(source, Path(data), fingerprint(prints))
        starts += warm_starts(source, kind, config, searched)
    try:
        spec = StudySpec(
            kind=kind,
            data=str(Path(data).resolve()),
            fingerprint=fingerprint(prints),
            split=split,
            classes=manifest.classes,
            base=base,
            preset=preset,
            config=config,
            space=searched,
            starts=tuple(starts),
            warm_start=warm_start,
            objectives=objectives,
            constraints=constraints,
            **options,
        )
    except ValidationError as error:
        raise UsageError(describe(error)) from None
    check_heartbeat(spec.heartbeat)
    return spec, prints


def create_study(
    storage: RDBStorage,
    artifacts: Artifacts,
    name: str,
    spec: StudySpec,
    digests: dict[str, str],
    *,
    copies: Sequence[FrozenTrial] = (),
) -> tuple[StudyHandle, bool]:
    """Create the study ``name``, its hand-designed config enqueued as trial 0; returns it and whether it is new.

    Of a config that the space does not hold, trial 0 has what it holds. ``copies`` are finished trials of another
    study, in the order in which a new one has them; a first one that is the config itself is trial 0. The same name
    with the same spec is a no-op; with another spec, a UserError that prints the difference.
    """
    if not re.fullmatch(NAMES, name):
        raise UsageError(
            f"study name {name[:40]!r} does not fit; take up to 100 letters, digits, dots, dashes, underscores."
        )
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        directions=list(spec.directions),
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    with study_lock(storage, study._study_id):
        new = SPEC not in study.user_attrs
        if new:
            _fill(study, artifacts, spec, digests, copies)
    handle = open_study(storage, name)
    if spec.warm_start is not None and spec.warm_start == handle.spec.warm_start:
        # What the other study gave when this one was made: it may have found better trials since.
        spec = spec.model_copy(update={"starts": handle.spec.starts})
    if changed := spec_differences(handle.spec, spec):
        raise UserError(f"study `{name}` exists with another spec ({'; '.join(changed)}); choose another name.")
    return handle, new


def _fill(
    study: optuna.Study,
    artifacts: Artifacts,
    spec: StudySpec,
    digests: dict[str, str],
    copies: Sequence[FrozenTrial],
) -> None:
    """Make an empty Optuna study, or one whose creation was interrupted, the study of ``spec``."""
    foreign = UID not in study.user_attrs and len(study.get_trials(deepcopy=False)) > 0
    directions = tuple(direction.name.lower() for direction in study.directions)
    if foreign or directions != spec.directions:
        raise UserError(
            f"`{study.study_name}` is the name of a study in this database that Venation did not create;"
            " choose another name."
        )
    with warnings.catch_warnings():
        # Metric names are experimental in Optuna, and only shown: the dashboard's axes carry them.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(spec.objectives))
    record_digests(artifacts, study, digests)
    study.set_user_attr(UID, uuid.uuid4().hex)
    study.set_user_attr(CREATED, datetime.now(UTC).isoformat())
    _add_first_trials(study, spec, copies)
    # The spec comes last: a study without one is half made, and creating it again completes it.
    study.set_user_attr(SPEC, spec.model_dump(mode="json"))


def _add_first_trials(study: optuna.Study, spec: StudySpec, copies: Sequence[FrozenTrial]) -> None:
    """The config as trial 0, then the copies, then the starts that the budget has room for."""
    points = [spec.space.point(set_fields(spec.config, start)) for start in ({}, *spec.starts)]
    # A config of which the space holds nothing leaves nothing to enqueue: all of trial 0 is drawn.
    head = 0 if not points[0] or (copies and copies[0].params == points[0]) else 1
    # A waiting trial counts towards the budget, and so does a copied one.
    last = None if spec.trials is None else max(1, 1 + spec.trials - len(copies) - head)
    there = {trial.user_attrs.get(MIGRATED) for trial in study.get_trials(deepcopy=False)}
    _enqueue(study, points[:head])
    for copy in copies:
        if copy.user_attrs[MIGRATED] not in there:
            study.add_trial(copy)
    _enqueue(study, points[1:last])


def _enqueue(study: optuna.Study, points: Sequence[Mapping[str, Scalar]]) -> None:
    for point in points:
        if point:
            study.enqueue_trial(dict(point), skip_if_exists=True)


def _split(seed: int) -> SplitConfig:
    try:
        return SplitConfig(seed=seed)
    except ValidationError as error:
        raise UsageError(describe(error)) from None


def _base_spec(storage: RDBStorage, kind: Kind, base: str | None) -> StudySpec | None:
    if not kind.facts.needs_base:
        if base is not None:
            raise UsageError(f"`--base {base}` was given, but a {kind} study freezes nothing; leave it out.")
        return None
    if base is None:
        raise UsageError(
            f"a {kind} study needs `--base STUDY` or `--base STUDY:NUMBER`: the classifier that it freezes."
        )
    name, number = split_base(base)
    handle = open_study(storage, name)
    if not handle.spec.kind.facts.is_base:
        bases = " or ".join(each for each in Kind if each.facts.is_base)
        raise UsageError(f"base `{name}` is a {handle.spec.kind} study; a base is a {bases} study.")
    check_base(handle, number)
    return handle.spec
