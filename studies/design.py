"""The design of a new study: the config of trial 0 and the space around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.channels import find_channels
from ..data.manifest import Manifest
from ..errors import UsageError
from ..search.constraints import read_constraints
from ..search.spec import StudySpec
from ..spaces.base_view import on_base, searches_view, split_view, view_values
from ..spaces.classifier import feasible_space
from ..spaces.fields import set_fields
from ..spaces.presets import recipe
from ..spaces.space import Scalar, Space
from ..spaces.space_file import read_space
from ..trials.trial_config import TrialConfig
from .checks import check_config, check_constraints, check_fields, check_objectives
from .data_checks import check_data, check_masks, check_reference
from .fold_data import check_folds
from .images import Images
from .request import StudyRequest
from .thin_structure import suit_thin

# Fixed where all networks start from given weights.
ENCODER = {"encoder.name", "encoder.taps"}


@dataclass(frozen=True)
class Design:
    """The config of trial 0, the space around it, the trials that follow, the own view's fields."""

    config: TrialConfig
    space: Space
    starts: tuple[Mapping[str, Scalar], ...]
    view: Mapping[str, Any] = field(default_factory=dict)


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


def study_seed(request: StudyRequest, base: StudySpec | None) -> int:
    """Return the seed of the request, or of its base."""
    inherited = 0 if base is None else base.seed
    return inherited if request.seed is None else request.seed


def seed_design(request: StudyRequest, design: Design, base: StudySpec | None) -> Design:
    """Return ``design`` with the study's seed in its config."""
    seed = study_seed(request, base)
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


def _with_channels(request: StudyRequest, design: Design, manifest: Manifest) -> TrialConfig:
    """Return the config with the number of the images' channels; the request may ask for one."""
    name = "data.channels"
    if any(dimension.name == name for dimension in design.space.dimensions):
        raise UsageError(f"`{name}` cannot be searched: it is the number of the images' channels; leave it out.")
    asked = design.config.data.channels if name in request.settings else None
    return set_fields(design.config, {name: find_channels(manifest, asked)})
