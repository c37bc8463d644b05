"""The cheapest and the dearest config of a space: what a trial of it can cost at most."""

from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from ..trials.trial_config import TrialConfig
from .fields import get_field, set_fields
from .space import Choice, Dimension, Float, Int, Space

# Of how a network is trained, only these change what an epoch or a trial costs.
_COSTLY = ("train.epochs", "train.batch_size")


def corner(
    space: Space, config: TrialConfig, cost: Callable[[TrialConfig], tuple[float, ...]], *, dearest: bool
) -> TrialConfig:
    """The config of the space with the least ``cost``, or the greatest; where dimensions cost nothing, as ``config``.

    One dimension is moved at a time, in order, numbers to their ends: exact where a cost rises or falls with each
    dimension whatever the others are, as that of a network does with its widths. Names on which other dimensions
    depend, such as a decoder's kind, are all tried: which kind is dearest shows when its own dimensions have moved.
    ``cost`` may raise UsageError for a config that cannot be built; such a config is no corner.
    """
    sign = 1 if dearest else -1

    def price(moved: TrialConfig) -> tuple[float, ...]:
        return _signed(cost, moved, sign)

    switches = _switches(space)
    starts = [config]
    for switch in switches:
        starts = [moved for start in starts for moved in (_moved(start, switch) if switch.applies(start) else [start])]
    rest = space.without({switch.name for switch in switches})
    ends = [_descended(rest, start, price) for start in dict.fromkeys(starts)]
    return max(ends, key=price) if len(ends) > 1 else ends[0]


def _switches(space: Space) -> list[Dimension]:
    """The dimensions without an order, on which others depend."""
    asked = {name for dimension in space.dimensions for name in dimension.when}
    return [d for d in space.dimensions if d.name in asked and _costs(d.name) and not _numbers(d)]


def _descended(space: Space, config: TrialConfig, price: Callable[[TrialConfig], tuple[float, ...]]) -> TrialConfig:
    for dimension in space.dimensions:
        if dimension.applies(config) and _costs(dimension.name):
            config = max(_moved(config, dimension), key=price)
    return config


def _costs(name: str) -> bool:
    return not name.startswith(("train.", "boost.")) or name in _COSTLY


def _moved(config: TrialConfig, dimension: Dimension) -> list[TrialConfig]:
    """``config`` first, which wins where nothing costs more, then with the dimension at its ends."""
    configs = [config] if dimension.holds(get_field(config, dimension.name)) else []
    for value in _ends(dimension):
        try:
            configs.append(set_fields(config, {dimension.name: value}))
        except UsageError:
            continue  # two fields that do not go together
    return configs or [config]


def _ends(dimension: Dimension) -> tuple[Any, ...]:
    match dimension:
        case Int():
            # Optuna draws no number past the last whole step.
            return dimension.low, dimension.high - (dimension.high - dimension.low) % dimension.step
        case Float():
            return dimension.low, dimension.high
    numbers = _numbers(dimension)
    return (min(numbers), max(numbers)) if numbers else dimension.choices


def _numbers(dimension: Dimension) -> list[float]:
    """All values of a dimension that has an order; empty for one of names."""
    if not isinstance(dimension, Choice):
        return [dimension.low, dimension.high]
    numbers = [value for value in dimension.choices if isinstance(value, int | float)]
    return numbers if len(numbers) == len(dimension.choices) else []


def _signed(cost: Callable[[TrialConfig], tuple[float, ...]], config: TrialConfig, sign: int) -> tuple[float, ...]:
    try:
        return tuple(sign * part for part in cost(config))
    except UsageError:
        return (float("-inf"),)
