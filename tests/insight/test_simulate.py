"""Replays of make_trial curves against Optuna's loop and plain loops, and epochs saved by rungs."""

import json
import math
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from optuna._hypervolume import compute_hypervolume
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from study_helpers import StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UsageError, UserError
from venation.insight.replay_order import sampled_order
from venation.insight.replay_policies import Curve, Policy, PrunerPolicy, RungsPolicy
from venation.insight.simulate import Outcome, outcome_rows, replay, simulate
from venation.search.handle import StudyHandle
from venation.search.spec import StudySpec
from venation.spaces.classifier import CLASSIFIER_SPACE
from venation.spaces.fields import set_fields
from venation.spaces.space import Float, Space
from venation.studies.registry import best_trial
from venation.trials.trial_config import TrialConfig


def make_spec(pruner: str, epochs: int, **options: Any) -> StudySpec:
    folds = pruner == "wilcoxon"
    config = set_fields(TrialConfig(), {"train.epochs": epochs} | ({"boost.folds": 5} if folds else {}))
    return StudySpec(
        kind="booster" if folds else "classifier",
        data="/leaves",
        fingerprint="f" * 64,
        classes=("a", "b"),
        config=config,
        space=CLASSIFIER_SPACE,
        objectives=tuple(options.pop("objectives", ("accuracy",))),
        pruner=pruner,
        **options,
    )


def random_curves(seed: int, *, trials: int, epochs: int, noise: float = 0.01) -> list[Curve]:
    """Return noisy accuracies that rise equally fast towards a random final value per trial."""
    rng = np.random.default_rng(seed)
    heights_N = rng.beta(5, 2, trials)
    rise_E = 1 - np.exp(-5 * np.arange(1, epochs + 1) / epochs)
    values_NE = heights_N[:, None] * rise_E + rng.normal(0, noise, (trials, epochs))
    return [Curve(number, tuple(curve), max(curve)) for number, curve in enumerate(values_NE.tolist())]


def record(handle: StudyHandle, curves: list[Curve]) -> None:
    """Fill a study with finished trials."""
    for curve in curves:
        handle.study.add_trial(
            optuna.trial.create_trial(value=curve.value, intermediate_values=dict(enumerate(curve.values)))
        )


@pytest.mark.parametrize("seed", range(8))
def test_rungs_train_a_third_of_the_epochs_and_keep_the_best(seed: int) -> None:
    curves = random_curves(seed, trials=80, epochs=27)
    outcome = replay(curves, make_spec("asha", 27), name="soy", workers=4)
    assert outcome.full == 80 * 27 and outcome.epochs * 3 <= outcome.full
    assert outcome.kept and outcome.value == outcome.best == max(max(curve.values) for curve in curves)


def test_asha_with_one_worker_equals_the_algorithm_of_the_paper() -> None:
    curves = random_curves(1, trials=25, epochs=12, noise=0.2)
    epochs_of = [0] * 25
    rungs: dict[int, list[int]] = {1: [], 3: [], 9: []}
    gone: set[tuple[int, int]] = set()
    heights = [1, 3, 9, 12]

    def best(number: int, height: int) -> float:
        return max(curves[number].values[:height])

    def candidate(least: int) -> tuple[int, int] | None:
        for height in (9, 3, 1):
            ranked = sorted(rungs[height], key=lambda n: -best(n, height))
            for number in ranked[: max(least, len(ranked) // 3)]:
                if (number, height) not in gone:
                    return number, height
        return None

    def train_until_paused(number: int) -> None:
        """Train the trial rung by rung while it is among the best third."""
        while epochs_of[number] < 12:
            height = next(h for h in heights if h > epochs_of[number])
            epochs_of[number] = height
            if height == 12:
                return
            rungs[height].append(number)
            among = sorted(rungs[height], key=lambda n: -best(n, height))[: len(rungs[height]) // 3]
            if number != 0 and number not in among:
                return
            gone.add((number, height))

    new = iter(range(25))
    while True:
        job = candidate(0)
        number = job[0] if job else next(new, None)
        if number is None:
            job = candidate(1)
            if job is None:
                break
            number = job[0]
        if job is not None:
            gone.add(job)
        train_until_paused(number)
    outcome = replay(curves, make_spec("asha", 12), name="soy", workers=1)
    assert (outcome.epochs, outcome.clock) == (sum(epochs_of), sum(epochs_of))
    assert outcome.complete == epochs_of.count(12)


@pytest.mark.parametrize("pruner", ["median", "hyperband", "wilcoxon"])
@pytest.mark.parametrize("objective", ["accuracy", "logloss"])
def test_a_pruner_with_one_worker_equals_optunas_own_loop(pruner: str, objective: str) -> None:
    curves = random_curves(2, trials=40, epochs=27, noise=0.05)
    if objective == "logloss":
        curves = [Curve(c.number, tuple(1 - value for value in c.values), 1 - c.value) for c in curves]
    spec = make_spec(pruner, 27, objectives=(objective,))
    study = optuna.create_study(study_name="soy", direction=spec.direction, pruner=spec.build_pruner())

    def objective_of(trial: optuna.Trial) -> float:
        for step, value in enumerate(curves[trial.number].values):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return curves[trial.number].value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Wilcoxon's test on few values
        study.optimize(objective_of, n_trials=40)
        outcome = replay(curves, spec, name="soy", workers=1)
    assert outcome.epochs == sum(len(trial.intermediate_values) for trial in study.trials)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert (outcome.complete, outcome.winner, outcome.value) == (
        len(complete),
        study.best_trial.number,
        study.best_value,
    )
    assert 0 < len(complete) < 40


def test_of_equal_trials_the_lower_log_loss_wins(harness: StudyHarness) -> None:
    handle = harness.create(trials=4, pruner="none", settings={"train.epochs": 2})
    for value, loss in ((0.3, 0.1), (0.5, 0.9), (0.5, 0.7), (0.5, 0.8)):
        metrics = {"metrics": {"logloss": loss}}
        curve = {0: 0.1, 1: value}
        handle.study.add_trial(optuna.trial.create_trial(value=value, intermediate_values=curve, user_attrs=metrics))
    (outcome,), _ = simulate(handle, ["none"])
    best = best_trial(handle)
    assert best is not None and best.user_attrs["metrics"] == {"logloss": 0.7} and outcome.winner == best.number


def test_without_a_pruner_parallel_workers_train_every_epoch() -> None:
    curves = [Curve(3, (0.1, 0.2, 0.3), 0.3), Curve(5, (0.5,), 0.5), Curve(6, (0.5, 0.4), 0.5), Curve(8, (0.2,), 0.2)]
    outcome = replay(curves, make_spec("none", 3), name="soy", workers=2)
    assert outcome == Outcome(
        pruner="none",
        trials=4,
        complete=4,
        epochs=7,
        full=7,
        saved="1.0x",
        clock=4,  # 3 3 3 8 beside 5 6 6
        winner=5,  # the earlier of two equals
        value=0.5,
        best=0.5,
        kept=True,
        found=2,
    )


LR = FloatDistribution(1e-4, 1e-1, log=True)


def make_trial(number: int, lr: float, value: float) -> optuna.trial.FrozenTrial:
    trial = optuna.trial.create_trial(
        params={"train.lr": lr}, distributions={"train.lr": LR}, value=value, intermediate_values={0: value}
    )
    trial.number = number
    return trial


def learning_rate_trials(seed: int) -> list[optuna.trial.FrozenTrial]:
    """Return trials of 60 random learning rates, worst first; those near 0.003 are best."""
    drawn: list[float] = (10 ** np.random.default_rng(seed).uniform(-4, -1, 60)).tolist()
    rates = sorted(drawn, key=lambda lr: -abs(math.log10(lr / 3e-3)))
    return [make_trial(number, lr, 1 - abs(math.log10(lr / 3e-3)) / 3) for number, lr in enumerate(rates)]


def lr_spec(sampler: str, seed: int) -> StudySpec:
    space = Space(dimensions=(Float(name="train.lr", low=1e-4, high=1e-1, log=True),))
    return make_spec("none", 1, sampler=sampler, seed=seed).model_copy(update={"space": space})


def test_a_sampled_order_has_every_trial_once_and_is_reproducible() -> None:
    trials = learning_rate_trials(0)
    orders = [sampled_order(trials, lr_spec("tpe", seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert all(order[0] == 0 and sorted(order) == list(range(60)) for order in orders)


def test_tpe_reaches_the_best_trial_earlier_than_random() -> None:
    best = {
        name: np.mean([sampled_order(learning_rate_trials(seed), lr_spec(name, seed)).index(59) for seed in range(5)])
        for name in ("tpe", "random")
    }
    assert best["tpe"] < 25 < best["random"] + 10 and best["tpe"] < best["random"]


def test_the_winner_keeps_its_trial_number(harness: StudyHarness) -> None:
    handle = harness.create(trials=61, settings={"train.epochs": 1})
    for trial in learning_rate_trials(0):
        handle.study.add_trial(trial)
    own = handle.study.best_trial.number
    (plain,), _ = simulate(handle, ["none"], workers=1)
    (drawn,), _ = simulate(handle, ["none"], workers=1, sampler="random")
    assert plain.winner == drawn.winner == own
    assert (plain.found, plain.epochs) == (60, 60) and drawn.found is not None and drawn.found < 60
    with pytest.raises(UsageError, match="`sampler` = 'grid': input should be 'tpe', 'random', 'gp', 'nsga2' or 'qmc'"):
        simulate(handle, ["none"], sampler="grid")


def test_a_shorter_trial_ends_at_its_own_last_epoch() -> None:
    curves = [Curve(0, (0.1,) * 9, 0.1), *(Curve(n, (0.2, 0.2, 0.2), 0.2) for n in range(1, 4))]
    outcome = replay(curves, make_spec("asha", 9, first_rung=3), name="soy", workers=1)
    assert (outcome.epochs, outcome.complete) == (9 + 3 * 3, 4)


def test_trials_that_ended_early_count_at_the_rungs_after_their_end() -> None:
    """Rungs after 3 and 9 epochs; the best of three goes on at both of them."""
    curves = [Curve(0, (0.1, 0.2), 0.2), Curve(1, (0.3,), 0.3), Curve(2, (0.9,) * 27, 0.9)]
    policy = RungsPolicy(curves, make_spec("asha", 27, first_rung=3))
    assert [policy.take() for _ in curves] == [0, 1, 2]
    policy.finish(0)
    policy.finish(1)
    assert [policy.report(2, epochs) for epochs in (3, 9)] == ["continue", "continue"]


def test_a_lost_best_value_is_reported(harness: StudyHarness) -> None:
    handle = harness.create(settings={"train.epochs": 9})
    # The last trial rises late; trial 0 of the study did not run.
    record(handle, [Curve(n, (0.5,) * 9, 0.5) for n in range(5)] + [Curve(5, (0.1,) * 8 + (0.9,), 0.9)])
    (none, rungs), left_out = simulate(handle, ["none", "asha"], workers=2)
    assert left_out == 1
    assert (none.winner, none.value, none.kept) == (6, 0.9, True)
    assert (rungs.winner, rungs.value, rungs.best, rungs.kept) == (1, 0.5, 0.9, False)


def test_the_command_prints_a_row_for_each_pruner(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create(settings={"train.epochs": 27})
    curves = random_curves(0, trials=30, epochs=27)
    record(handle, curves)
    words = ["study", "simulate", "soy", "--storage", postgres_url]
    shown = CliRunner().invoke(app, [*words, "--json"])
    rows = json.loads(shown.stdout)
    assert [row["pruner"] for row in rows] == ["none", "median", "hyperband", "asha"]
    assert all(row["trials"] == 30 and row["full"] == 30 * 27 for row in rows)
    assert rows[0]["epochs"] == 30 * 27 and rows[0]["clock"] == 8 * 27
    assert "1 trials without a full curve are left out" in shown.stderr
    again, _ = simulate(handle, ["asha"], workers=2, eta=2, first_rung=5)
    table = CliRunner().invoke(
        app, [*words, "--pruner", "asha", "--workers", "2", "--eta", "2", "--first-rung", "5", "--json"]
    )
    assert json.loads(table.stdout) == outcome_rows(again)


def sized_curves(seed: int, *, trials: int, epochs: int) -> list[Curve]:
    """Return ``random_curves`` with parameters: only large networks reach high accuracies."""
    rng = np.random.default_rng(seed)
    size_N = rng.uniform(0, 1, trials)
    heights_N = rng.beta(5, 2, trials) * (0.4 + 0.6 * size_N)
    rise_E = 1 - np.exp(-5 * np.arange(1, epochs + 1) / epochs)
    values_NE = (heights_N[:, None] * rise_E + rng.normal(0, 0.01, (trials, epochs))).tolist()
    parameters_N = np.round(1e5 * 100**size_N).tolist()
    return [
        Curve(number, tuple((value, size) for value in curve), (max(curve), size))
        for number, (curve, size) in enumerate(zip(values_NE, parameters_N, strict=True))
    ]


@pytest.mark.parametrize("seed", range(4))
def test_rungs_of_two_objectives_save_half_of_the_epochs_and_keep_the_front(seed: int) -> None:
    curves = sized_curves(seed, trials=80, epochs=27)
    outcome = replay(curves, make_spec("asha", 27, objectives=("accuracy", "parameters")), name="soy", workers=4)
    assert outcome.epochs * 2 < outcome.full and outcome.kept
    assert outcome.hypervolume is not None and 0.98 < outcome.hypervolume <= 1


def add_trials(handle: StudyHandle, points: list[tuple[float, float]], epochs: int) -> None:
    """Add finished trials of two objectives whose accuracy is constant."""
    for accuracy, parameters in points:
        handle.study.add_trial(
            optuna.trial.create_trial(
                values=(accuracy, parameters),
                intermediate_values=dict.fromkeys(range(epochs), accuracy),
                user_attrs={"costs": {"parameters": parameters}},
            )
        )


def test_the_hypervolume_of_complete_trials_is_reported(harness: StudyHarness, postgres_url: str) -> None:
    objective = ["accuracy", "parameters"]
    handle = harness.create(objective=objective, settings={"train.epochs": 4}, pruner="none")
    harness.end_next(handle, TrialState.FAIL)
    points = [(0.5, 10.0), (0.9, 8.0), (0.6, 4.0), (0.1, 1.0)]
    add_trials(handle, points, epochs=4)
    (none, rungs), left_out = simulate(handle, ["none", "asha"], workers=1, eta=2, first_rung=1)
    assert left_out == 1 and (none.epochs, none.hypervolume) == (16, 1.0)
    # At the first rung trial 2 ranks first and trial 4, far from it, second. At the second rung
    # only one of them is promoted.
    assert (rungs.epochs, rungs.complete, rungs.winner, rungs.kept) == (1 + 4 + 1 + 2, 1, 2, True)
    scaled_N2 = -np.array([((a - 0.1) / 0.8, (10 - p) / 9) for a, p in points])
    whole, kept = (compute_hypervolume(part, np.array([0.1, 0.1])) for part in (scaled_N2, scaled_N2[1:2]))
    assert rungs.hypervolume == pytest.approx(kept / whole)
    shown = CliRunner().invoke(app, ["study", "simulate", "soy", "--json", "--storage", postgres_url])
    rows = json.loads(shown.stdout)
    assert [row["pruner"] for row in rows] == ["none", "asha"] and rows[0]["hypervolume"] == 1
    with pytest.raises(UsageError, match="pruner median follows one curve, and the study has 2 objectives"):
        simulate(handle, ["median"])


def test_a_study_that_cannot_be_replayed_is_a_one_line_error(harness: StudyHarness) -> None:
    handle = harness.create(settings={"train.epochs": 4})
    with pytest.raises(UserError, match="study `soy` has 0 finished trials with a curve, .* `venation worker soy`"):
        simulate(handle)
    harness.end_next(handle, TrialState.FAIL)
    with pytest.raises(UserError, match="it has ended: create one with `--pruner none`"):
        simulate(handle)
    record(handle, random_curves(0, trials=2, epochs=4))
    with pytest.raises(UsageError, match="`pruner` = 'tree': input should be 'median'"):
        simulate(handle, ["tree"])
    with pytest.raises(UsageError, match="the first rung must come before the last epoch"):
        simulate(handle, ["asha"], first_rung=4)
    boost = harness.create("boost", "booster", base="soy")
    with pytest.raises(UserError, match="study `boost` is a booster study"):
        simulate(boost)


def test_hyperband_brackets_follow_the_original_trial_numbers() -> None:
    every = random_curves(4, trials=60, epochs=27, noise=0.05)
    finished = [curve for curve in every if curve.number % 3]
    spec = make_spec("hyperband", 27)
    study = optuna.create_study(study_name="soy", direction=spec.direction, pruner=spec.build_pruner())

    def objective_of(trial: optuna.Trial) -> float:
        if not trial.number % 3:
            raise ArithmeticError
        for step, value in enumerate(every[trial.number].values):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return every[trial.number].value

    study.optimize(objective_of, n_trials=60, catch=ArithmeticError)
    outcome = replay(finished, spec, name="soy", workers=1)
    complete = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert (outcome.trials, outcome.complete) == (40, len(complete)) and 0 < len(complete) < 40
    assert outcome.epochs == sum(len(trial.intermediate_values) for trial in study.trials)


@pytest.mark.parametrize("pruner", ["median", "hyperband", "asha"])
def test_a_replay_does_not_prune_the_supernet(pruner: str) -> None:
    good = random_curves(0, trials=20, epochs=9)
    curves = [Curve(0, (0.0,) * 9, 0.0), *(Curve(c.number + 1, c.values, c.value) for c in good)]
    spec = make_spec(pruner, 9)
    oneshot = spec.model_copy(update={"search": "oneshot"})
    # The other trials run completely before the supernet reports its first epoch.
    policy: Policy = RungsPolicy(curves, oneshot) if pruner == "asha" else PrunerPolicy(curves, oneshot, "soy")
    for _ in curves:
        policy.take()
    for index in [*range(1, len(curves)), 0]:
        for epoch in range(1, 10):
            if policy.report(index, epoch) != "continue":
                assert index != 0
                break
        else:
            policy.finish(index)
