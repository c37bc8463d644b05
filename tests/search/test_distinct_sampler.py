"""The sampler that does not repeat points."""

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from venation.search.distinct_sampler import DistinctSampler
from venation.spaces.enumerate_points import PointGroup, enumerate_points
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.spaces.space import Choice, Float, Int, Space
from venation.trials.trial_config import TrialConfig

Kind = type[RandomSampler] | type[TPESampler]
BOTH = pytest.mark.parametrize("kind", [RandomSampler, TPESampler])
WIDTHS = (0.25, 0.125, 0.0)
# The unet alone, three dilations of an MNSA decoder without its third branch, six with it.
CONDITIONAL = Space(
    dimensions=(
        Choice(name="decoder.kind", choices=("unet", "mnsa")),
        Choice(name="decoder.widths.deform3", choices=(0.0, 0.25), when={"decoder.kind": ("mnsa",)}),
        Int(name="decoder.dilation", low=1, high=3, when={"decoder.kind": ("mnsa",)}),
        Choice(name="decoder.supervise", choices=(False, True), when={"decoder.widths.deform3": (0.25,)}),
    )
)


def fresh(sampler: BaseSampler, space: Space, seed: int) -> DistinctSampler:
    return DistinctSampler(sampler, enumerate_points(space, TrialConfig()), seed=seed)


def draw_all(kind: Kind, space: Space, count: int, *, enqueued: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    study, points = optuna.create_study(), []
    if enqueued is not None:
        study.enqueue_trial(enqueued)
    for number in range(count):
        study.sampler = fresh(kind(seed=number), space, number)
        trial = study.ask()
        space.suggest(trial, TrialConfig())
        points.append(trial.params)
        # The first is the best of all: a sampler that learns would draw nothing else.
        study.tell(trial, 0.0 if trial.params == points[0] else 1.0)
    return points


@BOTH
def test_every_point_of_the_paper_s_space_is_drawn_once_before_any_is_drawn_twice(kind: Kind) -> None:
    space = recipe("mnsa", "decoder").space
    points = [tuple(sorted(point.items())) for point in draw_all(kind, space, 250)]
    assert len(set(points[:243])) == 243 and len(set(points)) == 243


@BOTH
def test_conditions_are_kept(kind: Kind) -> None:
    points = [tuple(sorted(point.items())) for point in draw_all(kind, CONDITIONAL, 20)]
    assert len(set(points[:10])) == len(set(points)) == 10
    assert sorted(len(point) for point in points[:10]) == [1, 3, 3, 3, 4, 4, 4, 4, 4, 4]


@BOTH
def test_branches_with_a_real_number_repeat_and_points_do_not(kind: Kind) -> None:
    space = recipe("default", "booster").space
    points = draw_all(kind, space, 40, enqueued={"boost.booster": "head"})
    assert Counter(point["boost.booster"] for point in points)["head"] == 1


def test_an_enqueued_point_is_not_sampled() -> None:
    study, space = optuna.create_study(), Space(dimensions=(Choice(name="train.batch_size", choices=(4, 8, 16)),))
    for size in (4, 8):
        study.enqueue_trial({"train.batch_size": size})
    for _ in range(2):
        study.ask()  # it runs, and has drawn nothing yet
    study.sampler = fresh(RandomSampler(seed=0), space, 0)
    assert space.suggest(study.ask(), TrialConfig()).train.batch_size == 16


def test_real_numbers_are_left_as_they_are() -> None:
    space = Space(dimensions=(Int(name="train.epochs", low=1, high=2), Float(name="train.lr", low=0.1, high=1)))
    values = []
    for wrap in (False, True):
        study = optuna.create_study(sampler=TPESampler(seed=1))
        if wrap:
            study.sampler = fresh(study.sampler, space, 1)
        study.optimize(lambda trial: space.suggest(trial, TrialConfig()).train.lr, n_trials=20)
        values.append([trial.params for trial in study.trials])
    assert values[0] == values[1]


def test_the_branches_of_a_space() -> None:
    assert enumerate_points(Space(), TrialConfig()) == [PointGroup({})]
    assert len(enumerate_points(recipe("mnsa", "decoder").space, recipe("mnsa", "decoder").config)) == 243
    assert enumerate_points(recipe("default", "decoder").space, TrialConfig()) == [PointGroup({}, open=True)]
    found = enumerate_points(recipe("default", "booster").space, TrialConfig())
    assert [(branch.params["boost.booster"], branch.open) for branch in found] == [
        ("logistic", True),
        ("gblinear", True),
        ("gbtree", True),
        ("dart", True),
        ("head", False),
    ]
    # A condition on what is not searched is asked of the config.
    fixed = CONDITIONAL.without({"decoder.kind"})
    assert enumerate_points(fixed, TrialConfig()) == [PointGroup({})]
    assert len(enumerate_points(fixed, set_fields(TrialConfig(), {"decoder.kind": "mnsa"}))) == 9
    one = Space(dimensions=(Float(name="train.lr", low=0.1, high=0.1), Int(name="train.epochs", low=1, high=9, step=4)))
    assert [dict(branch.params) for branch in enumerate_points(one, TrialConfig())] == [
        {"train.lr": 0.1, "train.epochs": epochs} for epochs in (1, 5, 9)
    ]
    large = Space(
        dimensions=tuple(
            Choice(name=name, choices=tuple(range(1, 101))) for name in ("train.epochs", "train.batch_size")
        )
    )
    assert enumerate_points(large, TrialConfig()) == [PointGroup({}, open=True)]
