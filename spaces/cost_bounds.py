"""Find the cheapest and the most expensive config of a space, which bound a trial's cost."""

from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from ..trials.trial_config import TrialConfig
from .fields import get_field, set_fields
from .space import Choice, Dimension, Float, Int, Space

# The only training fields that change the cost of an epoch or a trial.
_TRAIN_FIELDS_WITH_COST = ("train.epochs", "train.batch_size")


def extreme_config(
    space: Space, config: TrialConfig, cost: Callable[[TrialConfig], tuple[float, ...]], *, highest: bool
) -> TrialConfig:
    """Return the config of the space with the lowest ``cost``, or the ``highest``.

    Moves one dimension at a time, in order, and numbers to their end values. This is exact if the
    cost rises or falls with each dimension, for all other values, as a network's cost does
    with its widths. Dimensions that do not change the cost keep the value of ``config``.

    Names on which other dimensions depend, such as a decoder's kind, are all tried, because the
    most expensive kind is known only after its own dimensions have moved. ``cost`` may raise
    UsageError for a config that cannot be built; such a config is skipped.
    """
    sign = 1 if highest else -1

    def price(moved: TrialConfig) -> tuple[float, ...]:
        return _signed_cost(cost, moved, sign)

    switches = _switches(space)
    starts = [config]
    for switch in switches:
        starts = [
            moved for start in starts for moved in (_candidates(start, switch) if switch.applies(start) else [start])
        ]
    rest = space.without({switch.name for switch in switches})
    ends = [_coordinate_search(rest, start, price) for start in dict.fromkeys(starts)]
    return max(ends, key=price) if len(ends) > 1 else ends[0]


def _switches(space: Space) -> list[Dimension]:
    """Return the unordered dimensions on which others depend."""
    asked = {name for dimension in space.dimensions for name in dimension.when}
    return [d for d in space.dimensions if d.name in asked and _affects_cost(d.name) and not _ordered_values(d)]


def _coordinate_search(
    space: Space, config: TrialConfig, price: Callable[[TrialConfig], tuple[float, ...]]
) -> TrialConfig:
    for dimension in space.dimensions:
        if dimension.applies(config) and _affects_cost(dimension.name):
            config = max(_candidates(config, dimension), key=price)
    return config


def _affects_cost(name: str) -> bool:
    return not name.startswith(("train.", "boost.")) or name in _TRAIN_FIELDS_WITH_COST


def _candidates(config: TrialConfig, dimension: Dimension) -> list[TrialConfig]:
    """Return ``config``, first so that it wins ties, and copies at the dimension's end values."""
    configs = [config] if dimension.contains(get_field(config, dimension.name)) else []
    for value in _end_values(dimension):
        try:
            configs.append(set_fields(config, {dimension.name: value}))
        except UsageError:
            continue  # fields that exclude each other
    return configs or [config]


def _end_values(dimension: Dimension) -> tuple[Any, ...]:
    match dimension:
        case Int():
            # Optuna draws no number past the last whole step.
            return dimension.low, dimension.high - (dimension.high - dimension.low) % dimension.step
        case Float():
            return dimension.low, dimension.high
    numbers = _ordered_values(dimension)
    return (min(numbers), max(numbers)) if numbers else dimension.choices


def _ordered_values(dimension: Dimension) -> list[float]:
    """Return all values of a dimension that has an order; empty for one of names."""
    if not isinstance(dimension, Choice):
        return [dimension.low, dimension.high]
    numbers = [value for value in dimension.choices if isinstance(value, int | float)]
    return numbers if len(numbers) == len(dimension.choices) else []


def _signed_cost(cost: Callable[[TrialConfig], tuple[float, ...]], config: TrialConfig, sign: int) -> tuple[float, ...]:
    try:
        return tuple(sign * part for part in cost(config))
    except UsageError:
        return (float("-inf"),)
