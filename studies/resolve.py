"""Resolve the request for a study into its spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from pydantic import ValidationError

from ..data.channels import find_channels
from ..data.data_config import SplitConfig
from ..data.decodable import check_decodable
from ..data.fingerprint import fingerprint
from ..data.manifest import Manifest
from ..errors import UsageError, UserError
from ..search.constraints import read_constraints
from ..search.heartbeat import check_heartbeat
from ..search.oneshot import design_oneshot
from ..search.spec import StudySpec, default_pruner, split_base
from ..spaces.base_view import on_base, searches_view, split_view, view_values
from ..spaces.classifier import feasible_space
from ..spaces.fields import describe, set_fields
from ..spaces.presets import recipe
from ..spaces.space import Scalar, Space
from ..spaces.space_file import read_space
from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .base import check_base
from .checks import check_config, check_constraints, check_fields, check_objectives
from .data import load_split
from .data_checks import check_data, check_masks, check_reference
from .fold_data import check_folds
from .registry import find_study, open_study
from .request import StudyRequest
from .thin_structure import suit_thin
from .warm_start import check_source, warm_starts

# The options that become fields of the spec as they are.
_PLAIN = {"trials", "timeout", "folds", "search", "sampler", "pruner", "eta", "first_rung", "seed", "heartbeat"}


# Fixed where all networks start from given weights.
ENCODER = {"encoder.name", "encoder.taps"}


@dataclass(frozen=True)
class Design:
    """The config of trial 0, the space around it, the trials that follow, the own view's fields."""

    config: TrialConfig
    space: Space
    starts: tuple[Mapping[str, Scalar], ...]
    view: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Images:
    """The images of a study in their splits, with the digest of each."""

    data: Path
    split: SplitConfig
    manifest: Manifest
    digests: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of all digests."""
        return fingerprint(self.digests)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.manifest.classes)


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


def draft_design(request: StudyRequest) -> Design:
    """Return the preset's design with the request's space and settings.

    Raises UsageError for a field or an objective that the kind does not have.
    """
    chosen, settings = recipe(request.preset, request.kind), request.settings
    own, view = split_view(request.kind, settings)
    config = set_fields(chosen.config, own)
    searched = chosen.space.without(set(settings))
    space = feasible_space(searched, config) if request.space is None else read_space(request.space)
    check_fields(request.kind, [*settings, *(dimension.name for dimension in space.dimensions)])
    if request.init is not None:
        space = fix_encoder(space, request.space, f"`--init {request.init}`")
    check_objectives(request.kind, request.objectives)
    read_constraints(request.constraints)
    starts = tuple(start for start in chosen.starts if not start.keys() & settings.keys())
    return Design(config, space, starts, view)


def fix_encoder(space: Space, file: Path | None, source: str) -> Space:
    """Return ``space`` without the encoder, which is that of the weights of ``source``.

    Raises UsageError if the space is the user's own ``file`` and searches the encoder.
    """
    searched = sorted(dimension.name for dimension in space.dimensions if dimension.name in ENCODER)
    if searched and file is not None:
        raise UsageError(
            f"`{file}` searches {searched[0]}, and all networks start from {source}, whose encoder stays: take it out"
            " of the file, or create a study without `--init`."
        )
    return space.without(ENCODER)


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


def load_images(request: StudyRequest, base: StudySpec | None) -> Images:
    """Load the images, split as the base splits them.

    Raises UsageError without any, DataError for bad ones.
    """
    data = request.data
    if base is None:
        if data is None:
            raise UsageError(f"a {request.kind} study needs `--data`: the folder or CSV file of its images.")
        split = _split(request.seed or 0)
    else:
        data, split = data or Path(base.data), base.split
    return Images(data, split, *load_split(data, split))


def seed_design(request: StudyRequest, design: Design, base: StudySpec | None) -> Design:
    """Return ``design`` with the study's seed in its config."""
    seed = _seed(request, base)
    return replace(design, config=set_fields(design.config, {"train.seed": seed, "boost.seed": seed}))


def check_design(request: StudyRequest, design: Design, images: Images, base: StudySpec | None) -> Design:
    """Return ``design`` with the fixed fields taken out of its space.

    Raises UserError if it cannot learn from these images.
    """
    kind, space = request.kind, design.space
    if base is None:
        design = replace(design, config=_with_channels(request, design, images.manifest))
    if "decoder" in kind.facts.parts:
        classes = {"decoder.classes": images.manifest.mask_class_names}
        design = replace(design, config=set_fields(design.config, classes))
    check_data(images.fingerprint, base)
    check_masks(kind, images.manifest, design.config, space)
    check_reference(images.manifest, request.objectives)
    # The spec refuses a single fold.
    if request.folds is not None and request.folds > 1 and kind.facts.has_epochs:
        check_folds(kind, images.manifest, folds=request.folds, seed=images.split.seed)
    space = space.without(set(request.settings))
    based = None if base is None else base.config
    if based is not None:
        chosen = recipe(request.preset, kind)
        config, view = suit_thin(design.config, based, design.view, chosen, request.settings, images.manifest)
        design = replace(design, config=config, view=view)
    # With weights to start from, the encoder's own are not needed on any machine.
    checked = design.config if request.init is None else design.config.with_random_encoder()
    config = check_config(kind, checked, base, space, num_classes=images.num_classes, view=design.view)
    if request.init is not None:
        config = config.model_copy(update={"encoder": design.config.encoder})
    whole = on_base(config, based, design.view)
    check_constraints(read_constraints(request.constraints), kind, whole, space, images.num_classes)
    view = view_values(whole, design.view)
    if base is not None and (view or searches_view(dimension.name for dimension in space.dimensions)):
        # Trial 0 is a point of the space, which must be around the base's values.
        config = config.model_copy(update={"data": whole.data})
    return replace(design, config=config, space=space, view=view)


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
    seed = _seed(request, base)
    oneshot = design_oneshot(request.kind, design.config, design.space, trials=trials, seed=seed)
    return replace(design, config=oneshot.config, space=oneshot.space, starts=tuple(oneshot.starts))


def _seed(request: StudyRequest, base: StudySpec | None) -> int:
    inherited = 0 if base is None else base.seed
    return inherited if request.seed is None else request.seed


def _with_channels(request: StudyRequest, design: Design, manifest: Manifest) -> TrialConfig:
    """Return the config with the number of the images' channels; the request may ask for one."""
    name = "data.channels"
    if any(dimension.name == name for dimension in design.space.dimensions):
        raise UsageError(f"`{name}` cannot be searched: it is the number of the images' channels; leave it out.")
    asked = design.config.data.channels if name in request.settings else None
    return set_fields(design.config, {name: find_channels(manifest, asked)})


def _split(seed: int) -> SplitConfig:
    try:
        return SplitConfig(seed=seed)
    except ValidationError as error:
        raise UsageError(describe(error)) from None
