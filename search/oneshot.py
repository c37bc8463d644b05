"""The design of a one-shot study: the widest config, the widths, the trials to compare."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..spaces.fields import get_field, set_fields
from ..spaces.random_points import random_configs
from ..spaces.space import Choice, Dimension, Scalar, Space
from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .spec import StudySpec

WIDTHS = "decoder.widths."
NUM_TOP = 5
# A supernet and its ranking cost 4 trainings of the widest decoder (benchmarks/oneshot.py).
EXTRA_TRAININGS = 3
EXTRA_RANDOM = EXTRA_TRAININGS  # random trials beyond the top-ranked ones, for an equal cost
MIN_TRIALS = 5
MIN_POINTS = 3
MAX_RANKED = 256  # configs; of a larger space, a sample is ranked


@dataclass(frozen=True)
class OneshotDesign:
    """A study whose trial 0 is a supernet: its config, its space, its first trials."""

    config: TrialConfig
    space: Space
    starts: list[dict[str, Scalar]]


def design_oneshot(kind: Kind, config: TrialConfig, space: Space, *, trials: int | None, seed: int) -> OneshotDesign:
    """Return the design whose trial 0 is the widest config of ``space``.

    Only widths are searched; any other searched field keeps the value of ``config``. The starts are
    the config itself, the cheapest point, and random points: the trials that the ranking must beat.
    Raises UsageError for a study that searches no widths or too few points, and for a budget
    without room for a comparison.
    """
    if "decoder" not in kind.facts.parts or not kind.facts.needs_base:
        raise UsageError(
            f"`--search oneshot` slices a decoder on a frozen base, and this is a {kind} study; take `--kind decoder`."
        )
    if config.decoder.kind != "mnsa":
        raise UsageError(
            f"`--search oneshot` slices the branches of decoder.kind=mnsa, and {config.decoder.kind} has none;"
            " set decoder.kind=mnsa, or leave the option out."
        )
    if "decoder.kind" in space.outside(config):
        raise UsageError(
            "`--search oneshot` slices the branches of decoder.kind=mnsa, which this space does not hold; add mnsa to"
            " its decoder.kind, or leave the option out."
        )
    widths = [d for d in space.dimensions if d.name.startswith(WIDTHS) and d.applies(config)]
    if not widths:
        raise UsageError(
            "`--search oneshot` ranks branch widths, and this space searches none; search decoder.widths.*, or leave"
            " the option out."
        )
    if trials is not None and trials < MIN_TRIALS:
        raise UsageError(f"`--search oneshot` compares trials: give it at least {MIN_TRIALS}, not --trials {trials}.")
    space = Space(dimensions=tuple(widths))
    if (number := math.prod(map(_num_values, widths))) < MIN_POINTS:
        raise UsageError(
            f"`--search oneshot` ranks {MIN_POINTS} points or more, and this space has {number:.0f}; give"
            " decoder.widths.* more choices, or leave the option out."
        )
    recipe = {d.name: get_field(config, d.name) for d in widths if d.contains(get_field(config, d.name))}
    # The supernet shares the levels of one frozen encoder between its subnets.
    config = set_fields(config, {"decoder.tune_encoder": False})
    widest = set_fields(config, {d.name: _end(d, max) for d in widths})
    starts = [recipe, _cheapest(space), *_random_points(space, widest, split_budget(trials)[1], seed)]
    return OneshotDesign(widest, space, starts)


def split_budget(trials: int | None) -> tuple[int, int]:
    """Return how many of the top-ranked configs and how many random points are trained.

    The random points cost as much as the supernet and the top-ranked configs together. With fewer
    than eight trials one config of the ranking is trained, and the rest are random points, which
    then cost less than the supernet.
    """
    if trials is None:
        return NUM_TOP, NUM_TOP + EXTRA_RANDOM
    room = trials - 3  # without the widest, the recipe and the cheapest
    top = min(NUM_TOP, max(1, (room - EXTRA_RANDOM) // 2))
    return top, min(top + EXTRA_RANDOM, room - top)


def comparison_points(spec: StudySpec) -> dict[str, list[dict[str, Scalar]]]:
    """Return the points that the top-ranked configs must beat, by the rule that chose them.

    The rules are random, cheapest, widest (trial 0) and recipe.
    """
    recipe, cheapest, *random = (spec.space.point(set_fields(spec.config, start)) for start in spec.starts)
    return {"random": random, "cheapest": [cheapest], "widest": [spec.space.point(spec.config)], "recipe": [recipe]}


def ranked_configs(spec: StudySpec) -> list[TrialConfig]:
    """Return the configs to rank, the widest first.

    These are all configs of the space; of a large space, a sample and the starts.
    """
    choices = [d.choices for d in spec.space.dimensions if isinstance(d, Choice)]
    points = 1
    for each in choices:
        points *= len(each)
    starts = [spec.config, *(set_fields(spec.config, start) for start in spec.starts)]
    if len(choices) < len(spec.space.dimensions) or points > MAX_RANKED:
        return list(dict.fromkeys([*starts, *random_configs(spec.space, spec.config, MAX_RANKED, seed=spec.seed)]))[
            :MAX_RANKED
        ]
    names = [dimension.name for dimension in spec.space.dimensions]
    every = [set_fields(spec.config, dict(zip(names, values, strict=True))) for values in itertools.product(*choices)]
    return list(dict.fromkeys([*starts, *every]))


def _num_values(dimension: Dimension) -> float:
    if isinstance(dimension, Choice):
        return len(set(dimension.choices))
    return 1 if dimension.low == dimension.high else math.inf


def _end(dimension: Dimension, choose: Callable[..., Any]) -> Scalar:
    end: Scalar = choose(dimension.choices) if isinstance(dimension, Choice) else choose(dimension.low, dimension.high)
    return end


def _cheapest(space: Space) -> dict[str, Scalar]:
    return {dimension.name: _end(dimension, min) for dimension in space.dimensions}


def _random_points(space: Space, widest: TrialConfig, count: int, seed: int) -> list[dict[str, Scalar]]:
    """Return random points without repeats and without the widest one, which is trial 0."""
    return [space.point(config) for config in random_configs(space, widest, count + 1, seed=seed)[1:]]
