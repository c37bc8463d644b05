"""What a study searches whose first trial is a supernet: the widest config, widths, and what a ranking must beat."""

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
TOP = 5
# What a supernet and its ranking cost above one training of the widest decoder: 4 in all (benchmarks/oneshot.py).
MORE_TRAININGS = 3
MORE_RANDOM = MORE_TRAININGS  # random trials beyond the top, for the same price
LEAST_TRIALS = 5
LEAST_POINTS = 3
RANKED = 256  # of larger spaces a sample


@dataclass(frozen=True)
class OneshotDesign:
    """What a study searches when its first trial is a supernet: the widest config, the widths, the first trials."""

    config: TrialConfig
    space: Space
    starts: list[dict[str, Scalar]]


def design_oneshot(kind: Kind, config: TrialConfig, space: Space, *, trials: int | None, seed: int) -> OneshotDesign:
    """Make the widest config of ``space`` trial 0, and what its ranking has to beat the trials after it.

    Only widths are searched: a field that the space searches besides keeps the value that ``config`` has. The starts
    are the config itself, the cheapest point, and random points. Raises UsageError for a study that has no widths to
    search or too few to rank, and for a budget without room for a comparison.
    """
    if "decoder" not in kind.facts.parts:
        raise UsageError(f"`--search oneshot` slices a decoder, and this is a {kind} study; take `--kind decoder`.")
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
    if trials is not None and trials < LEAST_TRIALS:
        raise UsageError(f"`--search oneshot` compares trials: give it at least {LEAST_TRIALS}, not --trials {trials}.")
    space = Space(dimensions=tuple(widths))
    if (number := math.prod(map(_num_values, widths))) < LEAST_POINTS:
        raise UsageError(
            f"`--search oneshot` ranks {LEAST_POINTS} points or more, and this space has {number:.0f}; give"
            " decoder.widths.* more choices, or leave the option out."
        )
    recipe = {d.name: get_field(config, d.name) for d in widths if d.contains(get_field(config, d.name))}
    widest = set_fields(config, {d.name: _end(d, max) for d in widths})
    starts = [recipe, _cheapest(space), *_random_points(space, widest, shares(trials)[1], seed)]
    return OneshotDesign(widest, space, starts)


def shares(trials: int | None) -> tuple[int, int]:
    """How many of the ranking's best are trained alone, and how many random points: the latter cost as much in all.

    Of fewer than eight trials one is the ranking's, and the random points are what is left: less than the supernet
    costs.
    """
    if trials is None:
        return TOP, TOP + MORE_RANDOM
    room = trials - 3  # without the widest, the recipe and the cheapest
    top = min(TOP, max(1, (room - MORE_RANDOM) // 2))
    return top, min(top + MORE_RANDOM, room - top)


def rivals(spec: StudySpec) -> dict[str, list[dict[str, Scalar]]]:
    """The points that the ranking's best have to beat, by what chose them; the last two are trial 0 and the recipe."""
    recipe, cheapest, *random = (spec.space.point(set_fields(spec.config, start)) for start in spec.starts)
    return {"random": random, "cheapest": [cheapest], "widest": [spec.space.point(spec.config)], "recipe": [recipe]}


def candidates(spec: StudySpec) -> list[TrialConfig]:
    """The configs that are ranked, the widest first: all of the space, or a sample of a large one and the starts."""
    choices = [d.choices for d in spec.space.dimensions if isinstance(d, Choice)]
    points = 1
    for each in choices:
        points *= len(each)
    starts = [spec.config, *(set_fields(spec.config, start) for start in spec.starts)]
    if len(choices) < len(spec.space.dimensions) or points > RANKED:
        return list(dict.fromkeys([*starts, *random_configs(spec.space, spec.config, RANKED, seed=spec.seed)]))[:RANKED]
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
    """Uniformly drawn, without repeats and without the widest, which is trial 0."""
    return [space.point(config) for config in random_configs(space, widest, count + 1, seed=seed)[1:]]
