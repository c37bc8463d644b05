"""Params of a space for given configs, and the reasons why a config is no point of a study."""

from typing import Any

import optuna
import pytest

from venation.search.spec import StudySpec
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.spaces.space import Choice, Float, Int, Space
from venation.studies.placement import Misfit, place
from venation.trials.auto_fields import resolve_auto
from venation.trials.kinds import read_kind


def spec(kind: str, space: Space, **settings: Any) -> StudySpec:
    """A spec over no data, to place configs in."""
    config = set_fields(recipe("default", kind).config, settings)
    fields = {"kind": kind, "data": "leaves", "fingerprint": "", "classes": ("a", "b"), "config": config}
    return StudySpec(**fields, space=space, objective=read_kind(kind).facts.objectives[0])


@pytest.mark.parametrize("kind", ["classifier", "decoder", "booster"])
def test_every_point_that_optuna_draws_is_found_again(kind: str) -> None:
    study, target = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), recipe("default", kind)
    for _ in range(30):
        trial = study.ask()
        config = target.space.suggest(trial, target.config)
        seeded = set_fields(config, {"train.seed": 77, "boost.seed": 78})
        assert place(seeded, spec(kind, target.space)) == trial.params


def test_the_points_of_trials_are_found_again_from_their_records() -> None:
    study, target = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), recipe("default", "classifier")
    drawn = []
    for _ in range(20):
        trial = study.ask()
        recorded = resolve_auto(target.space.suggest(trial, target.config))
        assert place(recorded, spec("classifier", target.space)) == trial.params
        drawn.append(trial.params["train.head_start"])
    assert set(drawn) == {"auto", "random"}


@pytest.mark.parametrize(
    ("dimension", "changes", "reason"),
    [
        (
            Float(name="train.lr", low=1e-4, high=2e-3),
            {"train.lr": 3e-3},
            "`train.lr` = 0.003, and the space holds 0.0001 to 0.002",
        ),
        (
            Choice(name="gate", choices=("none", "mean")),
            {"gate": "meanmax"},
            "`gate` = meanmax, and the space holds none, mean",
        ),
        (
            Int(name="train.epochs", low=10, high=90, step=20),
            {"train.epochs": 60},
            "`train.epochs` = 60, and the space holds 10 to 90 in steps of 20",
        ),
        (
            Float(name="train.lr", low=1e-4, high=1.0),
            {"data.size": 64},
            "`data.size` = 64, and the new study has 224",
        ),
        # Not drawn under this gate, so the new study would leave it as its own config has it.
        (
            Float(name="train.mask_weight", low=0.1, high=1.0, when={"gate": ("mean",)}),
            {"train.mask_weight": 0.5},
            "`train.mask_weight` = 0.5, and the new study has 0.0",
        ),
    ],
)
def test_a_misfit_names_the_field_its_value_and_the_range(dimension: Any, changes: dict[str, Any], reason: str) -> None:
    target = spec("classifier", Space(dimensions=(dimension,)))
    with pytest.raises(Misfit) as caught:
        place(set_fields(target.config, changes), target)
    assert str(caught.value) == reason


def test_the_encoders_own_normalisation_is_a_point_and_another_is_not() -> None:
    target = spec("classifier", Space(), **{"encoder.name": "resnet18", "data.mean": "auto", "data.std": "auto"})
    own = {"data.mean": (0.485, 0.456, 0.406), "data.std": (0.229, 0.224, 0.225)}
    assert place(set_fields(target.config, own), target) == {}
    with pytest.raises(Misfit, match=r"`data.mean` = \(0.5, 0.5, 0.5\), and the new study has \(0.485, 0.456, 0.406\)"):
        place(set_fields(target.config, {"data.mean": (0.5, 0.5, 0.5)}), target)


def test_parts_of_a_base_and_seeds_may_differ() -> None:
    target = spec("decoder", Space())
    assert place(set_fields(target.config, {"encoder.name": "vgg16", "train.seed": 5, "boost.eta": 0.9}), target) == {}
