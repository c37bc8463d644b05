"""The spec: directions, seeds, samplers, differences by field."""

import optuna
import pytest
from pydantic import ValidationError

from venation.search.constraints import COSTS
from venation.search.spec import StudySpec
from venation.search.spec_differences import spec_differences
from venation.spaces.classifier import CLASSIFIER_SPACE
from venation.spaces.fields import set_fields
from venation.trials.metrics import MINIMISED
from venation.trials.trial_config import TrialConfig


def make_spec(**fields: object) -> StudySpec:
    given = {
        "kind": "classifier",
        "data": "/leaves",
        "fingerprint": "f" * 64,
        "classes": ("a", "b"),
        "config": TrialConfig(),
        "space": CLASSIFIER_SPACE,
        "objective": "accuracy",
    }
    return StudySpec.model_validate(given | fields)


def test_a_spec_survives_json() -> None:
    spec = make_spec(base="soy:3", trials=None, timeout=60.0)
    assert StudySpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("objective", "direction"),
    [
        ("accuracy", "maximize"),
        ("macro_f1", "maximize"),
        ("iou", "maximize"),
        ("dice", "maximize"),
        ("logloss", "minimize"),
        ("parameters", "minimize"),
        ("macs", "minimize"),
        ("latency", "minimize"),
    ],
)
def test_losses_and_costs_are_minimised_and_scores_maximised(objective: str, direction: str) -> None:
    assert make_spec(objective=objective).direction == direction
    assert (direction == "minimize") == (objective in (*MINIMISED, *COSTS))


def test_every_trial_has_a_seed_of_its_own_the_same_everywhere() -> None:
    seeds = [make_spec().trial_seed(number) for number in range(1000)]
    assert len(set(seeds)) == 1000 and all(0 <= seed < 2**32 for seed in seeds)
    assert seeds == [make_spec(data="/elsewhere").trial_seed(number) for number in range(1000)]
    # The first four bytes of `printf 0/7 | sha256sum`: no platform, process or version may change a
    # seed.
    assert seeds[7] == 0x8CC99D73
    assert make_spec(seed=1).trial_seed(0) != seeds[0]


def test_the_sampler_of_a_trial_draws_the_same_again() -> None:
    for name in ("tpe", "random", "gp", "nsga2"):
        spec = make_spec(sampler=name)
        draws = [
            CLASSIFIER_SPACE.suggest(optuna.create_study(sampler=spec.build_sampler(number)).ask(), spec.config)
            for number in (4, 4, 5)
        ]
        assert draws[0] == draws[1] != draws[2]


def test_differences_name_the_fields() -> None:
    spec = make_spec()
    other = make_spec(config=set_fields(spec.config, {"train.epochs": 3, "decoder.widths.deform3": 0.5}), trials=7)
    before = spec.config.train.epochs
    assert spec_differences(spec, spec) == []
    assert spec_differences(spec, other) == [
        "config.decoder.widths.deform3: 0.125 -> 0.5",
        f"config.train.epochs: {before} -> 3",
        "trials: 20 -> 7",
    ]


@pytest.mark.parametrize(
    "wrong", [{"trials": 0}, {"timeout": 0}, {"heartbeat": 0}, {"seed": -1}, {"sampler": "grid"}, {"epochs": 3}]
)
def test_invalid_fields_are_rejected(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make_spec(**wrong)


def test_with_folds_the_hint_names_a_pruner_that_fits() -> None:
    with pytest.raises(ValidationError, match="has 2 objectives; take none"):
        make_spec(objectives=("accuracy", "macs"), folds=3, pruner="median")


def test_wilcoxon_needs_four_folds() -> None:
    study = optuna.create_study(direction="maximize", pruner=make_spec(folds=5, pruner="wilcoxon").build_pruner())
    pruned = []
    for number in range(2):
        trial = study.ask()
        for fold in range(5):
            trial.report(0.9 + fold / 100 - number * (0.3 + fold / 10), fold)
            if trial.should_prune():
                pruned.append((number, fold))
        study.tell(trial, 0.9 - number)
    assert pruned == [(1, 3), (1, 4)]
