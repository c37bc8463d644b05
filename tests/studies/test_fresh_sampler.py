"""No point twice while there is another, whoever draws."""

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from venation.studies.fresh_sampler import FreshSampler


def draw(trial: optuna.Trial) -> dict[str, Any]:
    """Ten points: the head alone, three depths of trees, six linear ones."""
    match trial.suggest_categorical("kind", ["head", "tree", "linear"]):
        case "tree":
            trial.suggest_categorical("depth", [1, 2, 3])
        case "linear":
            trial.suggest_categorical("scale", ["a", "b", "c"])
            trial.suggest_categorical("bias", [False, True])
    return trial.params


def draw_all(sampler: type[BaseSampler], count: int) -> list[dict[str, Any]]:
    study, points = optuna.create_study(), []
    study.enqueue_trial({"kind": "head"})
    for number in range(count):
        study.sampler = FreshSampler(sampler(seed=number), seed=number)  # type: ignore[call-arg]
        trial = study.ask()
        points.append(draw(trial))
        # The head is the best of all: a sampler that learns would draw nothing else.
        study.tell(trial, 0.0 if points[-1]["kind"] == "head" else 1.0)
    return points


@pytest.mark.parametrize("sampler", [RandomSampler, TPESampler])
def test_what_the_start_had_is_not_drawn(sampler: type[BaseSampler]) -> None:
    points = draw_all(sampler, 40)
    assert Counter(point["kind"] for point in points)["head"] == 1


@pytest.mark.parametrize("sampler", [RandomSampler, TPESampler])
def test_a_point_is_drawn_again_only_where_its_last_param_has_no_other_value(sampler: type[BaseSampler]) -> None:
    study, seen = optuna.create_study(), []
    for number in range(14):
        study.sampler = FreshSampler(sampler(seed=number), seed=number)  # type: ignore[call-arg]
        trial = study.ask()
        seen.append((trial.suggest_categorical("a", [0, 1, 2]), trial.suggest_categorical("b", ["x", "y", "z", "w"])))
        study.tell(trial, float(seen[-1][0]))
    for place, (a, b) in enumerate(seen):
        if (a, b) in seen[:place]:
            assert {known for known in seen[:place] if known[0] == a} == {(a, other) for other in "xyzw"}
    assert len(set(seen)) >= 9


def test_what_is_enqueued_is_not_drawn_before_it_runs() -> None:
    study = optuna.create_study()
    for name in ("a", "b"):
        study.enqueue_trial({"x": name})
    for _ in range(2):
        study.ask()  # it runs, and has drawn nothing yet
    study.sampler = FreshSampler(RandomSampler(seed=0), seed=0)
    assert study.ask().suggest_categorical("x", ["a", "b", "c"]) == "c"


def test_real_numbers_are_left_as_they_are() -> None:
    values = []
    for wrap in (False, True):
        study = optuna.create_study(sampler=TPESampler(seed=1))
        if wrap:
            study.sampler = FreshSampler(study.sampler, seed=1)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 2), n_trials=20)
        values.append([trial.params for trial in study.trials])
    assert values[0] == values[1]
