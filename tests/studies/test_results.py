"""Results of several objectives: fronts against plain loops and Optuna's, rows, commands."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from study_helpers import SETTINGS, StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UsageError
from venation.search.handle import StudyHandle
from venation.search.spec import StudySpec
from venation.storage.attributes import COSTS
from venation.studies.registry import best_trial, open_study, study_row, trial_row
from venation.studies.request import make_request
from venation.studies.resolve import build_spec
from venation.studies.results import finished, latency_error, pareto_rows, pareto_trials
from venation.studies.warm_start import warm_starts

TWO = ("accuracy", "parameters")


def test_each_objective_has_its_direction(harness: StudyHarness) -> None:
    handle = harness.create(objective=["logloss", "accuracy", "macs"], pruner="none")
    assert handle.spec.directions == ("minimize", "maximize", "minimize")
    assert (handle.spec.objective, handle.spec.direction, handle.spec.costs) == ("logloss", "minimize", ("macs",))
    assert [direction.name.lower() for direction in handle.study.directions] == list(handle.spec.directions)
    assert handle.study.metric_names == ["logloss", "accuracy", "macs"]
    assert StudySpec.model_validate_json(handle.spec.model_dump_json()) == handle.spec
    again = harness.create(objective=["logloss", "accuracy", "macs"], pruner="none")
    assert again.id == handle.id


def test_a_stored_spec_with_a_single_objective_field_is_read(harness: StudyHarness) -> None:
    handle = harness.create(objective="logloss")
    old = handle.spec.model_dump(mode="json")
    (old["objective"],) = old.pop("objectives")
    del old["constraints"]
    handle.study.set_user_attr("venation:spec", old)
    assert open_study(harness.storage, "soy").spec == handle.spec


def test_asha_is_the_default_pruner_of_several_objectives(harness: StudyHarness) -> None:
    def pruner(kind: str, objective: list[str], **options: Any) -> str:
        settings = {"boost.folds": 2} if kind == "booster" else SETTINGS
        source = {"base": "soy"} if kind == "booster" else {"data": harness.data}
        given = {"name": "new", "kind": kind, "objective": objective, "settings": settings} | source | options
        spec, _ = build_spec(harness.storage, make_request(given))
        return spec.pruner

    assert pruner("classifier", ["accuracy"]) == "median"
    assert pruner("classifier", ["accuracy", "macs"]) == "asha"
    assert pruner("classifier", ["accuracy", "macs"], pruner="none") == "none"
    harness.create("soy")
    assert pruner("booster", ["logloss"]) == "wilcoxon"
    assert pruner("booster", ["logloss", "accuracy"]) == "none"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": ["iou"]}, "objective `iou` does not fit a classifier study; .*logloss, parameters, macs, lat"),
        ({"objective": ["accuracy", "speed"]}, "objective `speed` does not fit a classifier study"),
        ({"objective": ["accuracy", "macs", "accuracy"]}, "objective `accuracy` is given twice"),
        ({"objective": ["parameters"]}, "`parameters` cannot be the first objective, .* accuracy, macro_f1, logloss"),
        ({"objective": ["accuracy", "macs"], "pruner": "median"}, "pruner median follows one curve, .* asha or none"),
        ({"objective": ["accuracy", "macs"], "pruner": "hyperband"}, "take asha or none"),
        ({"objective": ["accuracy", "macs"], "pruner": "wilcoxon"}, "take asha or none"),
        ({"objective": ["accuracy"], "pruner": "wilcoxon"}, "compares the same folds of two trials, .* take median"),
        ({"objective": ["accuracy"], "constraint": ["size<=3"]}, "constraint `size<=3` is on `size`"),
    ],
)
def test_invalid_objectives_are_rejected_in_one_line(harness: StudyHarness, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        harness.create(**({"pruner": None} | options))
    assert "\n" not in str(caught.value)


def test_a_booster_has_no_costs_to_minimise(harness: StudyHarness) -> None:
    harness.create("soy")
    with pytest.raises(UsageError, match="objective `macs` does not fit a booster study; .*: logloss, accuracy\\."):
        harness.create("boost", "booster", base="soy", objective=["logloss", "macs"])


def test_options_and_a_study_file_give_the_same_spec(harness: StudyHarness, postgres_url: str, tmp_path: Path) -> None:
    fixed = [f"{name}={value}" for name, value in SETTINGS.items()]
    places = ["--storage", postgres_url, "--artifacts", str(harness.artifacts.folder)]
    words = ["study", "create", "soy", "--kind", "classifier", "--data", str(harness.data)]
    for pair in fixed:
        words += ["--set", pair]
    several = ["--objective", "accuracy", "--objective", "macs", "--constraint", "parameters<=4e5"]
    made = CliRunner().invoke(app, [*words, *several, *places])
    assert made.exit_code == 0, made.output
    spec = open_study(harness.storage, "soy").spec
    assert (spec.objectives, [str(c) for c in spec.constraints]) == (("accuracy", "macs"), ["parameters<=400000"])
    file = tmp_path / "soy.yaml"
    lines = f"name: soy\nkind: classifier\ndata: {harness.data}\nobjective: [accuracy, macs]\nset:\n"
    lines += "".join(f"  {name}: {value}\n" for name, value in SETTINGS.items())
    file.write_text(lines + "constraint: parameters<=4e5\n")
    again = CliRunner().invoke(app, ["study", "create", "-f", str(file), *places])
    assert again.exit_code == 0 and "exists already with the same spec" in again.output, again.output
    file.write_text(lines + "constraint: {parameters: 3}\n")
    wrong = CliRunner().invoke(app, ["study", "create", "-f", str(file), *places])
    assert wrong.exit_code == 2 and "`constraint` in" in wrong.output and "list of names" in wrong.output


def fill(handle: StudyHandle, count: int, *, seed: int = 0) -> list[tuple[float, float, bool]]:
    """Add finished trials with repeated values; every third breaks a constraint."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        accuracy, parameters = float(rng.integers(0, 6)) / 5, float(rng.integers(1, 7))
        feasible = number % 3 > 0
        trial = optuna.trial.create_trial(
            values=(accuracy, parameters),
            constraints={"parameters<=5": -0.5 if feasible else 0.5},
            user_attrs={COSTS.key: {"parameters": parameters}},
        )
        handle.study.add_trial(trial)
        made.append((accuracy, parameters, feasible))
    return made


def test_pareto_trials_match_plain_loops_and_optuna(harness: StudyHarness) -> None:
    handle = harness.create(objective=list(TWO), pruner="none")
    harness.end_next(handle, TrialState.FAIL)
    assert pareto_trials(handle) == [] and best_trial(handle) is None
    made = fill(handle, 40)
    expected = [
        number
        for number, (accuracy, parameters, feasible) in enumerate(made, 1)
        if feasible
        and not any(ok and a >= accuracy and p <= parameters and (a, p) != (accuracy, parameters) for a, p, ok in made)
    ]
    front = pareto_trials(handle)
    assert sorted(trial.number for trial in front) == expected
    assert sorted(trial.number for trial in handle.study.best_trials) == expected
    assert [-trial.values[0] for trial in front] == sorted(-trial.values[0] for trial in front)
    best = best_trial(handle)
    assert best is not None and best.number == front[0].number
    top = max((a, -p) for a, p, ok in made if ok)
    assert (best.values[0], -best.values[1]) == top
    row = study_row(handle)
    assert (row["objective"], row["best"], row["pareto"]) == ("accuracy, parameters", top[0], len(expected))
    assert pareto_rows(handle)[0] == {
        "number": best.number,
        "accuracy": top[0],
        "parameters": -top[1],
        "params": {},
    }
    shown = trial_row(handle.study.trials[1], handle.spec)
    assert (shown["value"], shown["values"]) == (made[0][0], {"accuracy": made[0][0], "parameters": made[0][1]})


def test_the_best_trial_of_one_objective_meets_the_constraints(harness: StudyHarness) -> None:
    handle = harness.create(constraint="parameters<=4e5")
    for value, excess in ((0.5, -0.1), (0.9, 0.1), (0.7, 0.0)):
        handle.study.add_trial(optuna.trial.create_trial(value=value, constraints={"parameters<=400000": excess}))
    best = best_trial(handle)
    assert best is not None and best.values == [0.7]
    assert [trial.values[0] for trial in pareto_trials(handle)] == [0.7]
    assert study_row(handle)["constraints"] == "parameters<=400000"


@pytest.mark.parametrize("pruner", ["none", "asha"])
def test_of_equal_trials_the_lower_log_loss_is_the_best(harness: StudyHarness, pruner: str) -> None:
    handle = harness.create(trials=9, pruner=pruner, settings={"train.epochs": 9})
    harness.end_next(handle, TrialState.FAIL)
    for value, metrics in ((0.3, {"logloss": 0.1}), (0.5, {"logloss": 0.9}), (0.5, {}), (0.5, {"logloss": 0.7})):
        handle.study.add_trial(optuna.trial.create_trial(value=value, user_attrs={"metrics": metrics}))
    equal = optuna.trial.create_trial(value=0.5, user_attrs={"metrics": {"logloss": 0.7, "ece": float("nan")}})
    breaking = optuna.trial.create_trial(value=0.5, user_attrs={"metrics": {"logloss": 0.1}}, constraints={"c": 1})
    handle.study.add_trial(equal)
    handle.study.add_trial(breaking)
    best = best_trial(handle)
    assert best is not None and best.number == 4, "of equal log-losses the earlier trial"
    assert [trial.number for trial in finished(handle)] == [1, 4, 5, 2, 3]
    assert [trial.number for trial in pareto_trials(handle)][:2] == [4, 5]
    assert study_row(handle)["best_trial"] == 4 and trial_row(best, handle.spec)["logloss"] == 0.7


def test_of_trials_with_equal_objectives_the_log_loss_comes_last(harness: StudyHarness) -> None:
    handle = harness.create(objective=list(TWO), pruner="none")
    harness.end_next(handle, TrialState.FAIL)
    for values, loss in (((0.5, 9.0), 0.1), ((0.5, 8.0), 0.4), ((0.5, 8.0), 0.3), ((0.4, 8.0), 0.2)):
        handle.study.add_trial(optuna.trial.create_trial(values=values, user_attrs={"metrics": {"logloss": loss}}))
    best = best_trial(handle)
    assert best is not None and best.number == 3
    assert [trial.number for trial in pareto_trials(handle)] == [3, 2]


def test_the_commands_show_all_objectives(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create(objective=list(TWO), pruner="none", constraint="parameters<=4e5")
    places = ["--storage", postgres_url]
    none = CliRunner().invoke(app, ["study", "pareto", "soy", *places])
    assert none.exit_code == 1 and "has no finished trial yet that keeps to its constraints" in none.output
    fill(handle, 9)
    pareto = CliRunner().invoke(app, ["study", "pareto", "soy", "--json", *places])
    assert json.loads(pareto.stdout) == pareto_rows(handle)
    table = CliRunner().invoke(app, ["study", "pareto", "soy", *places])
    assert table.stdout.split()[:3] == ["number", "accuracy", "parameters"]
    for words in (["show", "soy"], ["trials", "soy"], ["best", "soy"], ["list"]):
        shown = CliRunner().invoke(app, ["study", *words, "--json", *places])
        assert shown.exit_code == 0 and '"parameters' in shown.stdout or "accuracy, parameters" in shown.stdout
        plain = CliRunner().invoke(app, ["study", *words, *places])
        assert plain.exit_code == 0, plain.output


def test_a_warm_start_takes_the_front_first(harness: StudyHarness, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("train.lr: {low: 0.0001, high: 0.01}\n")
    source = harness.create(objective=list(TWO), pruner="none", space=tmp_path / "space.yaml")
    spec = source.spec
    # The best, one that it dominates, and one that is far smaller.
    for lr, values in ((0.001, (0.9, 9.0)), (0.002, (0.8, 9.5)), (0.004, (0.5, 1.0))):
        config = spec.config.model_copy(update={"train": spec.config.train.model_copy(update={"lr": lr})})
        source.study.add_trial(
            optuna.trial.create_trial(values=values, user_attrs={"config": config.model_dump(mode="json")})
        )
    starts = warm_starts(source, "classifier", spec.config, spec.space)
    assert [start["train.lr"] for start in starts] == [0.001, 0.004, 0.002]


def test_latency_error_is_the_mean_over_finished_trials(harness: StudyHarness) -> None:
    handle = harness.create(objective=["accuracy", "latency"], pruner="none")
    assert study_row(handle)["latency_error"] is None
    for predicted, measured in ((10.0, 8.0), (3.0, 4.0)):
        attrs = {COSTS.key: {"latency": predicted}, "metrics": {"accuracy": 0.5, "latency": measured}}
        handle.study.add_trial(optuna.trial.create_trial(values=(0.5, predicted), user_attrs=attrs))
    handle.study.add_trial(optuna.trial.create_trial(values=(0.5, 9.0)))
    error = latency_error(handle.study.trials)
    assert error == {"trials": 2, "ms": 1.5, "percent": 25.0} == study_row(handle)["latency_error"]
