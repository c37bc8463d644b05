"""Studies and trials as rows, and their deletion with all files."""

import math
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, refuse
from study_helpers import StudyHarness

from venation.bundles.record import WEIGHTS
from venation.errors import UserError
from venation.leases.claim import claim
from venation.storage.artifacts import put_file, write_blob
from venation.studies.registry import (
    best_trial,
    checkpoint_id,
    delete_study,
    open_study,
    study_names,
    study_row,
    trial_details,
    trial_row,
)


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_study_as_a_row(harness: StudyHarness) -> None:
    handle = harness.create(trials=5)
    for state, value in ((TrialState.COMPLETE, 0.5), (TrialState.COMPLETE, 0.75), (TrialState.FAIL, None)):
        harness.end_next(handle, state, value)
    assert claim(handle, max_losses=3) is not None
    assert study_row(open_study(harness.storage, "soy")) == {
        "study": "soy",
        "kind": "classifier",
        "preset": "default",
        "base": None,
        "objective": "accuracy",
        "budget": 5,
        "running": 1,
        "complete": 2,
        "pruned": 0,
        "fail": 1,
        "waiting": 0,
        "best": 0.75,
        "best_trial": 1,
    }


@pytest.mark.parametrize(("objective", "best"), [("accuracy", 1), ("logloss", 0)])
def test_the_best_trial_is_the_first_of_the_best(harness: StudyHarness, objective: str, best: int) -> None:
    handle = harness.create(trials=4, objective=objective)
    assert best_trial(handle) is None
    for value in (0.5, 0.75, 0.5, 0.75):
        harness.end_next(handle, TrialState.COMPLETE, value)
    found = best_trial(handle)
    assert found is not None and found.number == best


def test_a_trial_as_a_row_and_in_full(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    lease.trial.report(0.25, 0)
    lease.trial.report(0.5, 1)
    (tmp_path / "metrics.json").write_text("{}")
    put_file(harness.artifacts, lease.trial, tmp_path / "metrics.json")
    lease.end(TrialState.FAIL, cause="nan: the loss became nan")
    row = trial_row(handle.study.trials[0])
    assert (row["number"], row["state"], row["value"], row["epochs"]) == (0, "FAIL", None, 2)
    assert row["cause"] == "nan: the loss became nan"
    details = trial_details(handle, 0)
    assert (details["curve"], details["files"]) == ({0: 0.25, 1: 0.5}, ["metrics.json"])
    with pytest.raises(UserError, match="study `soy` has no trial 1; its trials are 0 to 0"):
        trial_details(handle, 1)


def test_a_missing_study_error_lists_the_studies(harness: StudyHarness) -> None:
    with pytest.raises(UserError, match="study `soy` does not exist; there is none yet; `venation study create`"):
        open_study(harness.storage, "soy")
    harness.create("b")
    harness.create("a")
    assert study_names(harness.storage) == ["a", "b"]
    with pytest.raises(UserError, match="the studies are: a, b"):
        open_study(harness.storage, "soy")


def test_deleting_a_study_leaves_nothing_of_it_and_all_of_the_others(harness: StudyHarness, tmp_path: Path) -> None:
    harness.create("kept")
    kept = files(harness.artifacts.folder)
    handle = harness.create(trials=2)
    made = tmp_path / "metrics.json"
    for content in ("{}", '{"accuracy": 1}'):
        # A trial that was resumed stores a file again: both versions must go.
        made.write_text(content)
        lease = claim(handle, max_losses=3)
        assert lease is not None
        put_file(harness.artifacts, lease.trial, made)
        lease.end(TrialState.WAITING)
    write_blob(harness.artifacts, checkpoint_id(handle, 0), made)
    assert delete_study(harness.storage, handle.study.study_name, harness.artifacts) == 4
    assert sorted(files(harness.artifacts.folder)) == sorted(kept)
    assert study_names(harness.storage) == ["kept"]
    assert [trial.state for trial in open_study(harness.storage, "kept").study.trials] == [TrialState.WAITING]


def test_a_base_is_deleted_after_the_studies_on_it(harness: StudyHarness) -> None:
    base = harness.create("soy", trials=1)
    harness.end_next(base, TrialState.COMPLETE, 0.5, WEIGHTS)
    veins = harness.create("veins", "decoder", base="soy:0")
    with pytest.raises(UserError, match="study `soy` is the base of `veins`; delete that one first"):
        delete_study(harness.storage, base.study.study_name, harness.artifacts)
    delete_study(harness.storage, veins.study.study_name, harness.artifacts)
    delete_study(harness.storage, base.study.study_name, harness.artifacts)
    assert study_names(harness.storage) == []


@pytest.mark.parametrize("objective", [["accuracy"], ["logloss"], ["accuracy", "logloss", "parameters"]])
def test_the_best_trial_is_the_one_that_all_trials_read_say(harness: StudyHarness, objective: list[str]) -> None:
    handle = harness.create(objective=objective, trials=None, timeout=60)
    assert best_trial(handle) is None
    rng = np.random.default_rng(0)
    signs = {"accuracy": -1, "logloss": 1, "parameters": 1}
    for number in range(40):
        values = [float(value) for value in rng.integers(0, 4, len(objective))]
        values[0] = math.inf if number == 7 else -math.inf if number == 9 else values[0]
        state = TrialState.PRUNED if number % 5 == 0 else TrialState.COMPLETE
        # The infinitely good one breaks its constraint.
        excess = 1.0 if values[0] * signs[objective[0]] == -math.inf or number % 7 == 0 else -1.0
        handle.study.add_trial(optuna.trial.create_trial(state=state, values=values, constraints={"macs<=1": excess}))
        allowed = [
            ([signs[name] * value for name, value in zip(objective, trial.values, strict=True)], trial.number)
            for trial in handle.study.get_trials(states=(TrialState.COMPLETE,))
            if all(each <= 0 for each in trial.constraints.values())
        ]
        best = best_trial(handle)
        assert (None if best is None else best.number) == (min(allowed)[1] if allowed else None)


def test_a_study_that_ended_without_a_result_is_not_sent_to_a_worker(
    harness: StudyHarness, postgres_url: str, tmp_path: Path
) -> None:
    handle = harness.create()
    places = ("--storage", postgres_url)
    export = ("bundle", "export", "soy", "-o", tmp_path / "b", "--artifacts", harness.artifacts.folder)
    for command in (("study", "best", "soy"), ("study", "pareto", "soy"), export):
        refuse(EXPECTED_FAILURE, *command, *places, says=("no finished trial yet", "venation worker soy"))
    harness.end_next(handle, TrialState.FAIL)
    says = ("ended with no finished trial", "venation study trials soy")
    for command in (("study", "best", "soy"), ("study", "pareto", "soy"), export):
        refuse(EXPECTED_FAILURE, *command, *places, says=says)
