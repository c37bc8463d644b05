"""The cheapest and the dearest config of a space: what a trial of it can cost at most."""

from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from ..trials.config import TrialConfig
from ..trials.fields import get_field, set_fields
from .space import Dimension, Float, Int, Space

# Of how a network is trained, only these change what an epoch or a trial costs.
_COSTLY = ("train.epochs", "train.batch_size")
_PASSES = 2


def corner(
    space: Space, config: TrialConfig, cost: Callable[[TrialConfig], tuple[float, ...]], *, dearest: bool
) -> TrialConfig:
    """The config of the space with the least ``cost``, or the greatest; where dimensions cost nothing, as ``config``.

    One dimension is moved at a time, in order, numbers to their ends: exact where a cost rises or falls with each
    dimension whatever the others are, as that of a network does with its widths. ``cost`` may raise UsageError for a
    config that cannot be built; such a config is no corner.
    """
    sign = 1 if dearest else -1
    for _ in range(_PASSES if any(d.when for d in space.dimensions) else 1):
        for dimension in space.dimensions:
            if dimension.applies(config) and _costs(dimension.name):
                config = max(_moved(config, dimension), key=lambda moved: _signed(cost, moved, sign))
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
    numbers = [value for value in dimension.choices if isinstance(value, int | float)]
    return (min(numbers), max(numbers)) if len(numbers) == len(dimension.choices) else dimension.choices


def _signed(cost: Callable[[TrialConfig], tuple[float, ...]], config: TrialConfig, sign: int) -> tuple[float, ...]:
    try:
        return tuple(sign * part for part in cost(config))
    except UsageError:
        return (float("-inf"),)
