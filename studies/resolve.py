"""Resolve the request for a study into its spec."""

from dataclasses import replace
from typing import Any

from optuna.storages import RDBStorage
from pydantic import ValidationError

from ..data.decodable import check_decodable
from ..errors import UsageError, UserError
from ..search.constraints import read_constraints
from ..search.heartbeat import check_heartbeat
from ..search.oneshot import design_oneshot
from ..search.pruners import default_pruner
from ..search.spec import StudySpec, split_base
from ..spaces.fields import describe
from ..trials.kinds import Kind
from .base import check_base
from .checks import check_objectives
from .design import Design, check_design, draft_design, seed_design, study_seed
from .images import Images, load_images
from .registry import find_study, open_study
from .request import StudyRequest
from .warm_start import check_source, warm_starts

# The options that become fields of the spec as they are.
_PLAIN = {"trials", "timeout", "folds", "search", "sampler", "pruner", "eta", "first_rung", "seed", "heartbeat"}


def build_spec(storage: RDBStorage, request: StudyRequest) -> tuple[StudySpec, dict[str, str]]:
    """Return the spec of the study that ``request`` asks for, and the digests of its images.

    A study with a base has the data, the split and the seed of its base. Raises UsageError for a
    name that does not exist or a value out of range, UserError for a base that cannot serve,
    DataError for bad data.
    """
    design = draft_design(request)
    base = resolve_base(storage, request)
    images = load_images(request, base)
    design = check_design(request, seed_design(request, design, base), images, base)
    if base is None and find_study(storage, request.name) is None:
        check_decodable(images.manifest.samples, design.config.data)
    if request.search == "oneshot":
        design = _oneshot_design(request, design, base)
    if request.warm_start is not None:
        source = open_study(storage, request.warm_start)
        check_source(source, images.data, images.fingerprint)
        further = warm_starts(source, request.kind, design.config, design.space)
        design = replace(design, starts=(*design.starts, *further))
    return to_spec(request, design, images, base), images.digests


def resolve_base(storage: RDBStorage, request: StudyRequest) -> StudySpec | None:
    """Return the spec of the base study; None for a kind without one.

    Raises UserError for a base that cannot serve.
    """
    kind, base = request.kind, request.base
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
    if handle.spec.folds:
        raise UserError(
            f"base `{name}` has folds: its trials are {handle.spec.folds} networks each, and a base is one; create a"
            f" classifier study without --folds, say with `--from {name}`."
        )
    check_base(handle, number)
    return handle.spec


def to_spec(request: StudyRequest, design: Design, images: Images, base: StudySpec | None) -> StudySpec:
    """Convert a request whose parts are resolved and checked into a spec.

    Raises UsageError for an option out of range.
    """
    objectives = check_objectives(request.kind, request.objectives)
    options = {"pruner": default_pruner(request.kind, design.config, objectives, folds=request.folds or 0)} | _options(
        request, base
    )
    try:
        spec = StudySpec(
            kind=request.kind,
            data=str(images.data.resolve()),
            fingerprint=images.fingerprint,
            split=images.split,
            classes=images.manifest.classes,
            base=request.base,
            preset=request.preset,
            config=design.config,
            view=dict(design.view),
            space=design.space,
            starts=tuple(dict(start) for start in design.starts),
            warm_start=request.warm_start,
            objectives=objectives,
            constraints=read_constraints(request.constraints),
            **options,
        )
    except ValidationError as error:
        raise UsageError(describe(error)) from None
    check_heartbeat(spec.heartbeat)
    return spec


def _options(request: StudyRequest, base: StudySpec | None) -> dict[str, Any]:
    """Return the options that become fields of the spec.

    A timeout alone lifts the budget.
    """
    given = request.model_dump(include=_PLAIN, exclude_none=True)
    if "timeout" in given:
        given.setdefault("trials", None)
    inherited = {} if base is None else {"seed": base.seed, "heartbeat": base.heartbeat}
    return inherited | given


def _oneshot_design(request: StudyRequest, design: Design, base: StudySpec | None) -> Design:
    trials = _options(request, base).get("trials", StudySpec.model_fields["trials"].default)
    seed = study_seed(request, base)
    oneshot = design_oneshot(request.kind, design.config, design.space, trials=trials, seed=seed)
    return replace(design, config=oneshot.config, space=oneshot.space, starts=tuple(oneshot.starts))
