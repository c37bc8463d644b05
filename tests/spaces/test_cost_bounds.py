"""The extreme configs of a space against its enumerated points."""

import itertools
from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from venation.errors import UsageError
from venation.spaces.cost_bounds import extreme_config
from venation.spaces.decoder import DECODER_SPACE
from venation.spaces.fields import get_field, set_fields
from venation.spaces.presets import recipe
from venation.spaces.space import Choice, Float, Int, Space
from venation.trials.trial_config import TrialConfig

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
    """Return a small model of a network's cost: it grows with each part, for all other values."""
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


@pytest.mark.parametrize("highest", [False, True])
def test_it_equals_the_extreme_of_the_enumerated_space(highest: bool) -> None:
    config = set_fields(TrialConfig(), {"encoder.name": "b", "decoder.kind": "mnsa", "decoder.channels": 16})
    prices = [price(point) for point in points(config)]
    found = extreme_config(SPACE, config, price, highest=highest)
    assert price(found) == (max(prices) if highest else min(prices))
    assert found.train.lr == config.train.lr


def test_free_dimensions_and_a_config_without_a_space_stay() -> None:
    config = recipe("default", "classifier").config
    flat = extreme_config(recipe("default", "classifier").space, config, lambda _: (1.0,), highest=True)
    assert flat == config == extreme_config(Space(), config, price, highest=False)


def test_a_value_outside_the_space_is_not_returned() -> None:
    space = Space(dimensions=(Choice(name="decoder.channels", choices=(16, 32)),))
    config = set_fields(TrialConfig(), {"decoder.channels": 8})
    found = extreme_config(space, config, lambda c: (float(c.decoder.channels),), highest=False)
    assert get_field(found, "decoder.channels") == 16


@pytest.mark.parametrize("highest", [False, True])
@pytest.mark.parametrize("kind", ["unet", "mnsa"])
def test_a_kind_that_is_expensive_only_at_its_own_extremes_is_found(kind: str, highest: bool) -> None:
    """At the start the other kind costs more; at its widths' ends this one costs most or least."""

    def expense(config: TrialConfig) -> tuple[float, ...]:
        return (5.0 if config.decoder.kind == "unet" else 80 * config.decoder.widths.deform3 + 1,)

    start = set_fields(TrialConfig(), {"encoder.name": "b", "decoder.kind": kind, "decoder.widths.deform3": 0.03})
    widths = Choice(name="decoder.widths.deform3", choices=(0.0, 0.03, 0.5), when={"decoder.kind": ("mnsa",)})
    space = Space(dimensions=(Choice(name="decoder.kind", choices=("unet", "mnsa")), widths))
    found = extreme_config(space, start, expense, highest=highest)
    assert (found.decoder.kind, found.decoder.widths.deform3) == ("mnsa", 0.5 if highest else 0.0)


def enhanced_price(config: TrialConfig) -> tuple[float, ...]:
    """Return a cost that grows with every dimension of the decoder.

    It is the kind's price, or taps times widths, level by level.
    """
    decoder = config.decoder
    taps = {"deform3": 9, "deform5": decoder.deform_kernel**2, "atrous2": 9, "atrous3": 9, "meanmax": 1}
    extra = sum(taps[name] * width for name, width in decoder.widths) * sum(factor for _, factor in decoder.levels)
    if decoder.kind == "smp_unet":
        return (500.0 + decoder.tune_encoder,)
    kinds = {"unet": 9.0, "unet3p": 30.0, "mnsa": 10 + extra * (1 + decoder.transfer)}
    return (decoder.channels * kinds[decoder.kind] + decoder.supervise + decoder.tune_encoder,)


@pytest.mark.parametrize("highest", [False, True])
def test_no_point_of_the_wide_decoder_space_exceeds_the_bounds(highest: bool) -> None:
    start = recipe("default", "decoder").config
    (end,) = enhanced_price(extreme_config(DECODER_SPACE, start, enhanced_price, highest=highest))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [enhanced_price(DECODER_SPACE.suggest(study.ask(), start))[0] for _ in range(100)]
    assert max(drawn) <= end if highest else end <= min(drawn)
    # The known extremes: all dimensions at their maximum, and the kind without branches at its
    # minimum.
    most = 10 + ((9 + 49 + 9 + 9 + 1) / 4) * 10 * 1.5
    assert end == (64 * most + 2 if highest else 16 * 9.0)
