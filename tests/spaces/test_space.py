"""Spaces as data: draws, fixed fields, points and invalid dimensions."""

import optuna
import pytest
from pydantic import ValidationError

from venation.errors import UsageError
from venation.spaces.fields import set_fields
from venation.spaces.space import Choice, Float, Int, Space
from venation.trials.trial_config import TrialConfig

SPACE = Space(
    dimensions=(
        Choice(name="gate", choices=("none", "mean")),
        Float(name="train.lr", low=1e-4, high=1e-2, log=True),
        Int(name="data.size", low=32, high=64, step=16),
    )
)


def ask() -> optuna.Trial:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3)).ask()


def test_a_draw_sets_the_fields_and_records_the_distributions() -> None:
    trial = ask()
    config = SPACE.suggest(trial, TrialConfig())
    assert trial.params == {"gate": config.gate, "train.lr": config.train.lr, "data.size": config.data.size}
    assert trial.distributions == {
        "gate": optuna.distributions.CategoricalDistribution(("none", "mean")),
        "train.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "data.size": optuna.distributions.IntDistribution(32, 64, step=16),
    }


def test_a_choice_of_sizes_may_be_square_or_not() -> None:
    sizes = Choice(name="data.size", choices=(96, "96x128", "128x96"))
    space = Space(dimensions=(sizes,))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [space.suggest(study.ask(), TrialConfig()) for _ in range(12)]
    assert {config.data.size_HW for config in drawn} == {(96, 96), (96, 128), (128, 96)}
    for config in drawn:
        assert TrialConfig.model_validate_json(config.model_dump_json()) == config
        assert space.point(config) == {"data.size": config.data.size}


def test_dimensions_are_drawn_in_their_order() -> None:
    trial = ask()
    SPACE.suggest(trial, TrialConfig())
    assert list(trial.params) == ["gate", "train.lr", "data.size"]


def test_a_fixed_field_is_removed_from_the_space() -> None:
    assert [d.name for d in SPACE.without({"train.lr", "train.epochs"}).dimensions] == ["gate", "data.size"]


def test_a_point_omits_values_outside_the_space() -> None:
    config = set_fields(TrialConfig(), {"gate": "meanmax", "train.lr": 2e-3, "data.size": 128})
    assert SPACE.point(config) == {"train.lr": 2e-3}


def test_a_reversed_range_is_rejected() -> None:
    with pytest.raises(ValidationError, match=r"`train.lr` needs low <= high.*low=1.0, high=0.1"):
        Float(name="train.lr", low=1.0, high=0.1)
    with pytest.raises(ValidationError, match="needs low <= high"):
        Int(name="train.epochs", low=3, high=2)


def test_a_logarithmic_range_starts_above_zero() -> None:
    with pytest.raises(ValidationError, match="`train.lr` needs low > 0 for a logarithmic scale"):
        Float(name="train.lr", low=0.0, high=1.0, log=True)
    with pytest.raises(ValidationError, match="`train.epochs` needs low > 0 for a logarithmic scale"):
        Int(name="train.epochs", low=0, high=9, log=True)


def test_steps_and_a_logarithmic_scale_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="`train.epochs` cannot have steps on a logarithmic scale"):
        Int(name="train.epochs", low=1, high=9, step=2, log=True)


def test_a_duplicate_dimension_is_rejected() -> None:
    twice = Choice(name="gate", choices=("none",))
    with pytest.raises(ValidationError, match="`gate`.*more than once"):
        Space(dimensions=(twice, twice))


def test_a_dimension_without_a_field_suggests_similar_fields() -> None:
    with pytest.raises(ValidationError, match="`train.rate` is not a config field; similar fields are: train.lr"):
        Space(dimensions=(Float(name="train.rate", low=0, high=1),))


def test_a_choice_that_the_field_rejects_fails_when_drawn() -> None:
    space = Space(dimensions=(Choice(name="gate", choices=("max",)),))
    with pytest.raises(UsageError, match="`gate` = 'max': "):
        space.suggest(ask(), TrialConfig())


def test_an_int_contains_only_values_on_its_steps() -> None:
    sizes = Int(name="data.size", low=32, high=64, step=16)
    assert [value for value in range(30, 70) if sizes.contains(value)] == [32, 48, 64]
    assert not sizes.contains(48.5)
