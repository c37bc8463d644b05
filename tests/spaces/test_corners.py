"""Corners of a space against the whole space, laid out point by point."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from venation.errors import UsageError
from venation.spaces.corners import corner
from venation.spaces.presets import recipe
from venation.spaces.space import Choice, Float, Int, Space
from venation.trials.config import TrialConfig
from venation.trials.fields import get_field, set_fields

SPACE = Space(
    dimensions=(
        Choice(name="encoder.name", choices=("b", "a", "c")),
        Choice(name="decoder.kind", choices=("unet", "mnsa")),
        Choice(name="decoder.channels", choices=(32, 8, 16)),
        Choice(name="decoder.widths.deform3", choices=(0.0, 0.25, 0.5), when={"decoder.kind": ("mnsa",)}),
        Int(name="train.epochs", low=3, high=10, step=3),
        Float(name="train.lr", low=1e-4, high=1e-2),
    )
)
GRID: dict[str, tuple[Any, ...]] = {
    "encoder.name": ("a", "b", "c"),
    "decoder.kind": ("unet", "mnsa"),
    "decoder.channels": (8, 16, 32),
    "decoder.widths.deform3": (0.0, 0.25, 0.5),
    "train.epochs": (3, 6, 9),
}


def price(config: TrialConfig) -> tuple[float, ...]:
    """A network's price in small: each part costs more when it grows, whatever the others are."""
    if config.encoder.name == "a":
        raise UsageError("an encoder that cannot be built")
    enhancer = 40 * config.decoder.widths.deform3 if config.decoder.kind == "mnsa" else 30
    return ({"b": 5, "c": 9}[config.encoder.name] + enhancer * config.decoder.channels) * config.train.epochs, 0.0


def points(config: TrialConfig) -> Iterator[TrialConfig]:
    for values in itertools.product(*GRID.values()):
        point = set_fields(config, dict(zip(GRID, values, strict=True)))
        if point.decoder.kind == "unet":
            point = set_fields(point, {"decoder.widths.deform3": config.decoder.widths.deform3})
        if point.encoder.name != "a":
            yield point


@pytest.mark.parametrize("dearest", [False, True])
def test_the_corner_is_the_end_of_the_whole_space(dearest: bool) -> None:
    config = set_fields(TrialConfig(), {"encoder.name": "b", "decoder.kind": "mnsa", "decoder.channels": 16})
    prices = [price(point) for point in points(config)]
    found = corner(SPACE, config, price, dearest=dearest)
    assert price(found) == (max(prices) if dearest else min(prices))
    assert found.train.lr == config.train.lr


def test_what_costs_nothing_stays_and_so_does_a_config_without_a_space() -> None:
    config = recipe("default", "classifier").config
    flat = corner(recipe("default", "classifier").space, config, lambda _: (1.0,), dearest=True)
    assert flat == config == corner(Space(), config, price, dearest=False)


def test_a_value_that_the_space_does_not_hold_is_no_corner() -> None:
    space = Space(dimensions=(Choice(name="decoder.channels", choices=(16, 32)),))
    config = set_fields(TrialConfig(), {"decoder.channels": 8})
    found = corner(space, config, lambda c: (float(c.decoder.channels),), dearest=False)
    assert get_field(found, "decoder.channels") == 16
