"""Checks of a new study, so that errors surface before a worker runs."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.mask_classes import MASK_CLASSES
from ..errors import UsageError
from ..models.cost import cost, takes_size
from ..models.encoder import build_encoder
from ..models.frozen_part import check_not_whole, describe_frozen
from ..models.hub_weights import describe_pretrained
from ..search.constraints import Constraint, amount, known_costs
from ..search.spec import StudySpec
from ..spaces.base_view import OF_THE_BASE, check_view, on_base
from ..spaces.cost_bounds import extreme_config
from ..spaces.fields import get_field, set_fields
from ..spaces.space import Choice, Space
from ..trials.auto_fields import resolve_auto
from ..trials.kinds import Kind
from ..trials.task_fields import check_task_fields
from ..trials.trial_config import TrialConfig


def recipe_outside(spec: StudySpec) -> str | None:
    """Return a note if the space does not contain the study's config; None if it does."""
    names = spec.space.outside(spec.config)
    if not names:
        return None
    values = ", ".join(f"{name}={get_field(spec.config, name)}" for name in names)
    return f"trial 0 is not the recipe itself: the space does not hold its {values}, and draws another value"


def pretrained_sources(spec: StudySpec) -> list[str]:
    """Return a line with the source of the weights for each pretrained encoder of the study."""
    if "encoder" not in spec.kind.facts.parts:
        return []
    encoders = [whole.encoder for whole in _encoder_choices(spec.config, spec.space)]
    return [describe_pretrained(name) for name in dict.fromkeys(e.name for e in encoders if e.weights == "pretrained")]


def frozen_children_notes(spec: StudySpec) -> list[str]:
    """Return a line for each encoder of which ``encoder.frozen_children=auto`` freezes children."""
    if "encoder" not in spec.kind.facts.parts:
        return []
    encoders = [whole.encoder for whole in _encoder_choices(spec.config, spec.space)]
    chosen = [encoder for encoder in encoders if encoder.frozen_children == "auto" and not encoder.frozen]
    return list(dict.fromkeys(describe_frozen(encoder) for encoder in chosen))


def check_fields(kind: Kind, names: Iterable[str]) -> None:
    """Raise UsageError for a field that a study of this kind can neither set nor search."""
    parts, names = kind.facts.parts, list(names)
    check_view(kind, names)
    for name in names:
        if name.endswith(".seed"):
            raise UsageError(f"`{name}` follows the study's seed; set that, with `--seed`.")
        if name == "decoder.classes":
            raise UsageError(f"`{name}` follows the data: name the mask classes in {MASK_CLASSES} of the data set.")
        if name == "data.blank" and kind == Kind.MULTITASK:
            raise UsageError(f"`{name}` cannot be set in a {kind} study: it {OF_THE_BASE[name]}; leave it out.")
        if name.split(".")[0] not in parts:
            own = ", ".join(f"{part}.*" for part in parts)
            raise UsageError(f"`{name}` cannot be set in a {kind} study; it sets {own}; the rest comes from its base.")


def check_objectives(kind: Kind, given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the objectives of a study, by default its kind's; UsageError for others."""
    names = (given,) if isinstance(given, str) else tuple(given or ())
    metrics = kind.facts.objectives
    allowed = (*metrics, *known_costs(kind))
    for place, name in enumerate(names):
        if name not in allowed:
            raise UsageError(f"objective `{name}` does not fit a {kind} study; choose from: {', '.join(allowed)}.")
        if name in names[:place]:
            raise UsageError(f"objective `{name}` is given twice; name each once.")
    if names and names[0] not in metrics:
        raise UsageError(
            f"`{names[0]}` cannot be the first objective, by which a trial keeps its weights; begin with one of:"
            f" {', '.join(metrics)}."
        )
    return names or metrics[:1]


def check_constraints(
    constraints: Sequence[Constraint], kind: Kind, config: TrialConfig, space: Space, num_classes: int
) -> None:
    """Raise UsageError for a constraint that no network of the space can meet.

    ``config`` includes the parts of the base. The check compares with the cheapest and the most
    expensive config of the space. It skips latency, which only a worker's device can measure.
    """
    if constraints and not known_costs(kind):
        raise UsageError(f"a {kind} study trains no network that `{constraints[0]}` could hold back; leave it out.")
    known = functools.cache(cost)
    for constraint in constraints:
        if constraint.name == "latency":
            continue
        most, name = constraint.relation == ">=", constraint.name

        def expense(config: TrialConfig, name: str = name) -> tuple[float, ...]:
            return (getattr(known(config.network(num_classes)), name),)

        (reach,) = expense(extreme_config(space, config, expense, highest=most))
        if constraint.excess(reach) > 0:
            raise UsageError(
                f"constraint `{constraint}` leaves nothing to search: {name} of this space's"
                f" {'largest' if most else 'smallest'} network are {amount(name, reach)}; move the bound or the space."
            )


def check_config(
    kind: Kind,
    config: TrialConfig,
    base: StudySpec | None,
    space: Space,
    *,
    num_classes: int,
    view: Mapping[str, Any],
) -> TrialConfig:
    """Return ``config`` with an absolute path of its weights; ``view`` changes the base's view.

    Raises UserError if its network cannot be built or trained.
    """
    if kind == Kind.MULTITASK:
        check_multitask(config, num_classes, space)
    if "encoder" in kind.facts.parts:
        if kind == Kind.CLASSIFIER:
            check_task_fields(config.train, "classify")
        return check_network(config, num_classes, space)
    if "decoder" in kind.facts.parts and base is not None:
        whole = on_base(config, base.config, view)
        check_decoder(whole, base, space)
        check_task_fields(resolve_auto(whole).train, "segment")
    return config


def check_multitask(config: TrialConfig, num_classes: int, space: Space) -> None:
    """Raise UsageError for a training that cannot learn labels and masks at once."""
    names = ("decoder.kind", "data.fit", "decoder.tune_encoder", "train.mixup", "train.cutmix", "train.wise_ft")
    for whole in (config, *(other for name in names for other in _alternatives(config, space, name))):
        if whole.decoder.tune_encoder:
            raise UsageError(
                "decoder.tune_encoder=true trains a copy of a frozen encoder, and this study trains the encoder itself:"
                " leave it out."
            )
        if whole.data.fit == "patch":
            raise UsageError(
                "data.fit=patch shows parts of an image, and a label needs the whole one: raise data.size, or learn the"
                " masks at native scale in a decoder study on a classifier."
            )
        _check_draws(whole, num_classes)
        check_task_fields(resolve_auto(whole).train, "multitask")


def check_decoder(config: TrialConfig, base: StudySpec, space: Space) -> None:
    """Raise UsageError if there is no decoder, or if the base's encoder does not fit the config.

    ``config`` includes the parts of the base.
    """
    others = (
        other for name in ("decoder.kind", "data.size", "data.fit") for other in _alternatives(config, space, name)
    )
    for whole in (config, *others):
        _check_draws(whole, len(base.classes))
        _check_own_size(whole, base)
        _check_any_size(whole, len(base.classes))


def _check_draws(config: TrialConfig, num_classes: int) -> None:
    """Raise UsageError if the network has no decoder, or one that cannot be built or trained."""
    if config.decoder.kind == "none":
        raise UsageError("decoder.kind=none draws nothing: name a decoder, say decoder.kind=mnsa.")
    cost(config.network(num_classes))
    if config.decoder.kind in ("deeplabv3plus", "upernet") and config.train.batch_size == 1:
        raise UsageError(f"decoder {config.decoder.kind} learns from batches of 2 on: raise train.batch_size.")


def _check_own_size(config: TrialConfig, base: StudySpec) -> None:
    """Raise UsageError if the base, built for its own size, does not take images of another one."""
    size = config.data.size_HW
    label_size = base.config.data.size_HW
    if size != label_size and not takes_size(base.config.network(len(base.classes)), size):
        own, given = (f"{height}x{width}" for height, width in (label_size, size))
        raise UsageError(f"the base takes images of {own} only, not of {given}: leave data.size as the base's.")


def _check_any_size(config: TrialConfig, num_classes: int) -> None:
    """Raise UsageError if whole images are evaluated by a network that takes only some sizes."""
    height, width = config.data.size_HW
    if config.data.fit == "whole" and not takes_size(config.network(num_classes), (height + 13, width + 7)):
        raise UsageError(
            f"data.fit=whole evaluates images of any size, and {config.encoder.name} with these parts takes only some:"
            " set data.fit=crop, or change the network."
        )


def _alternatives(config: TrialConfig, space: Space, name: str) -> list[TrialConfig]:
    """Return ``config`` with each choice that the space has for one field."""
    choices = [d.choices for d in space.dimensions if d.name == name and isinstance(d, Choice)]
    return [set_fields(config, {name: choice}) for each in choices for choice in each]


def _encoder_choices(config: TrialConfig, space: Space) -> list[TrialConfig]:
    """Return ``config`` with every name and weights of the encoder that the space can draw."""
    named = _alternatives(config, space, "encoder.name") or [config]
    return [each for whole in named for each in _alternatives(whole, space, "encoder.weights") or [whole]]


def check_network(config: TrialConfig, num_classes: int, space: Space) -> TrialConfig:
    """Return ``config`` with an absolute path of its weights.

    Raises UserError for an encoder, an image size or weights that cannot be used.
    """
    if config.train.mask_weight > 0 and config.gate == "none":
        raise UsageError(
            f"train.mask_weight={config.train.mask_weight:g} guides a gate, and gate=none has none;"
            " set gate=meanmax, or train.mask_weight=0."
        )
    names = ("encoder.name", "data.fit")
    for whole in dict.fromkeys((config, *(other for name in names for other in _alternatives(config, space, name)))):
        cost(whole.network(num_classes))
        check_not_whole(whole.encoder)
        _check_any_size(whole, num_classes)
        # Raises for values that do not go together once ``auto`` is resolved.
        set_fields(resolve_auto(whole), {})
    for encoder in dict.fromkeys(whole.encoder for whole in _encoder_choices(config, space)):
        if encoder.weights != "none":
            build_encoder(encoder, config.data.channels)
    if config.encoder.weights in ("none", "pretrained"):
        return config
    return set_fields(config, {"encoder.weights": str(Path(config.encoder.weights).resolve())})
