"""`trial why`: sampling, pruning with the compared values, and the attempts of a trial."""

import optuna
import pytest
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, refuse, rows, succeed
from study_helpers import StudyHarness

from venation.insight.explain import explain
from venation.leases.claim import claim
from venation.leases.lease import Lease
from venation.search.distinct_sampler import DistinctSampler
from venation.search.handle import StudyHandle
from venation.search.windowed_sampler import WindowedSampler


def claim_trial(handle: StudyHandle) -> Lease:
    lease = claim(handle, max_losses=3)
    assert lease is not None
    handle.spec.space.suggest(lease.trial, handle.spec.config)
    return lease


def run_trial(handle: StudyHandle, curve: list[float]) -> None:
    """Run a trial with these reports; Optuna's pruner decides whether it is pruned."""
    lease = claim_trial(handle)
    for step, value in enumerate(curve):
        lease.trial.report(value, step)
        if lease.trial.should_prune():
            lease.end(TrialState.PRUNED)
            return
    lease.end(TrialState.COMPLETE, curve[-1])


def test_a_trial_pruned_by_the_median_names_both_values(harness: StudyHarness) -> None:
    handle = harness.create(trials=6, pruner="median")
    for value in (0.5, 0.6, 0.7, 0.8, 0.9):
        run_trial(handle, [value] * 4)
    run_trial(handle, [0.2, 0.3, 0.1, 0.1])
    explained = explain(handle, 5)
    assert handle.study.get_trials()[5].state == TrialState.PRUNED
    assert explained["pruned"] == (
        "median: its best accuracy up to step 2 was 0.3, the median of the 5 finished trials at that step 0.7"
    )
    assert explain(handle, 0)["pruned"] is None


def test_a_trial_pruned_by_wilcoxon_names_the_trial_that_was_better(harness: StudyHarness) -> None:
    harness.create("soy")
    handle = harness.create("boost", "booster", base="soy", trials=2, pruner="wilcoxon", settings={"boost.folds": 12})
    run_trial(handle, [0.1 + fold / 1000 for fold in range(12)])
    run_trial(handle, [0.9 + fold / 1000 for fold in range(12)])
    assert handle.study.get_trials()[1].state == TrialState.PRUNED
    explained = explain(handle, 1)["pruned"]
    assert (
        explained.startswith("wilcoxon: worse than trial 0, the best finished one, on ") and "shared folds" in explained
    )
    assert "mean logloss 0.90" in explained and "against 0.1" in explained


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        ("random", "at random, with seed"),
        ("tpe", "by TPE, at random during its start-up"),
        ("gp", "by Optuna's sampler gp, with seed"),
        ("nsga2", "by Optuna's sampler nsga2, with seed"),
        ("qmc", "by Optuna's sampler qmc, with seed"),
    ],
)
def test_the_sampling_of_a_trial_is_explained(harness: StudyHarness, sampler: str, words: str) -> None:
    handle = harness.create(trials=3, sampler=sampler)
    for value in (0.5, 0.6):
        run_trial(handle, [value])
    assert explain(handle, 0)["drawn"] == "the recipe itself"
    assert explain(handle, 1)["drawn"].startswith(words)


def test_the_number_of_trials_that_tpe_used_is_reported(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = harness.create(trials=12)
    for number in range(12):
        run_trial(handle, [number / 12])
    assert explain(handle, 11)["drawn"].startswith("by TPE from the 11 trials that had ended, with seed ")
    fresh = handle.study.sampler
    assert isinstance(fresh, DistinctSampler) and isinstance(fresh._sampler, WindowedSampler)
    assert isinstance(fresh._sampler._sampler, optuna.samplers.TPESampler)
    monkeypatch.setattr("venation.insight.explain.WINDOW", 10)
    assert explain(handle, 11)["drawn"].startswith("by TPE from 10 of the 11 trials that had ended, with seed ")


def test_attempts_and_resumes_are_listed(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create()
    claim_trial(handle).trial.report(0.5, 0)
    harness.silence()
    lease = claim_trial(handle)
    lease.end(TrialState.WAITING)
    claim_trial(handle)
    explained = rows("trial", "why", "soy", 0, "--storage", postgres_url)
    assert [(a["attempt"], a["end"], a["epochs"]) for a in explained["attempts"]] == [
        (1, "lost", 1),
        (2, "handed back", 1),
        (3, None, 1),
    ]
    assert (explained["state"], explained["resumed"]) == ("RUNNING", 2)
    assert rows("trial", "show", "soy", 0, "--storage", postgres_url)["history"][0]["end"] == "lost"
    assert "handed back" in succeed("trial", "why", "soy", 0, "--storage", postgres_url)
    refuse(EXPECTED_FAILURE, "trial", "why", "soy", 7, "--storage", postgres_url, says=("no trial 7", "0 to 0"))


def test_constraints_of_an_earlier_attempt_are_stored_again(harness: StudyHarness) -> None:
    handle = harness.create()
    first = claim_trial(handle)
    first.trial.set_constraint("latency", 3.0)
    first.end(TrialState.WAITING)
    second = claim_trial(handle)
    assert second.trial.constraints == {}
    second.trial.set_constraint("latency", -1.0)
    second.end(TrialState.COMPLETE, 0.5)
    assert handle.study.get_trials()[0].constraints == {"latency": -1.0}
