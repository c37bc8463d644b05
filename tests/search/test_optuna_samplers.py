"""The samplers beside TPE: they find a known optimum, and each trial has an instance of its own."""

from collections.abc import Callable

import numpy as np
import optuna
import pytest

from venation.search.optuna_samplers import build_other


def run(
    name: str, trials: int, objective: Callable[[optuna.Trial], float | tuple[float, ...]], **create
) -> optuna.Study:
    study = optuna.create_study(**create)
    for number in range(trials):
        study.sampler = build_other(name, seed=number, study_seed=7)
        study.optimize(objective, n_trials=1)
    return study


def bowl(trial: optuna.Trial) -> float:
    """Return a value that is lowest, 0, at x = 0.3, y = -1 and colour b."""
    x, y = trial.suggest_float("x", -2, 2), trial.suggest_float("y", -2, 2)
    return (x - 0.3) ** 2 + (y + 1) ** 2 + (trial.suggest_categorical("colour", ["a", "b"]) == "a")


@pytest.mark.parametrize(("name", "trials", "bound"), [("gp", 20, 0.05), ("nsga2", 120, 0.15)])
def test_learning_samplers_come_closer_than_random_points(name: str, trials: int, bound: float) -> None:
    found = run(name, trials, bowl)
    assert found.best_value < bound and found.best_value < run("random", trials, bowl).best_value


def test_qmc_is_one_even_sequence_over_all_trials() -> None:
    study = run("qmc", 33, lambda trial: trial.suggest_float("x", 0, 1))
    # Trial 0 tells the sampler the space. Of a scrambled Sobol sequence each of 32 cells has one.
    cells = sorted(int(32 * trial.params["x"]) for trial in study.trials[1:])
    assert cells == list(range(32))
    assert len({trial.params["x"] for trial in study.trials}) == 33


@pytest.mark.parametrize("name", ["gp", "nsga2", "qmc"])
def test_two_objectives(name: str) -> None:
    study = run(
        name, 13, lambda trial: (trial.suggest_float("x", 0, 1), 1 - trial.params["x"]), directions=["minimize"] * 2
    )
    assert len(study.best_trials) == 13 and np.unique([trial.params["x"] for trial in study.trials]).size == 13
