from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.reports.study_facts import read_facts
from venation.storage.attributes import METRICS
from venation.studies.registry import best_trial


def test_the_first_of_the_ranking_is_the_best_trial_of_the_study(harness: StudyHarness) -> None:
    handle = harness.create(trials=6, objectives=["accuracy", "parameters"], pruner="none")
    # Equal accuracies: the fewer parameters, then the lower log-loss, then the earlier trial.
    values = [(0.5, 9.0), (0.8, 7.0), (0.8, 5.0), (0.8, 5.0), (0.8, 5.0)]
    losses = [0.1, 0.1, 0.9, 0.2, 0.2]
    for value, loss in zip(values, losses, strict=True):
        harness.end_next(handle, TrialState.COMPLETE, value)
        harness.sql(
            f"INSERT INTO trial_user_attributes (trial_id, key, value_json) SELECT max(trial_id), '{METRICS.key}',"
            f""" '{{"logloss": {loss}}}' FROM trials WHERE state = 'COMPLETE'"""
        )
    harness.end_next(handle, TrialState.FAIL)
    facts = read_facts(handle, harness.artifacts, None)
    best = best_trial(handle)
    assert best is not None and best.number == facts.best.number == 3
    assert [trial.number for trial in facts.ranked] == [3, 4, 2, 1, 0]
    assert len(facts.trials) == 6 and facts.answers == {} and facts.labels is None


def test_images_of_the_study_are_found_or_their_absence_explained(harness: StudyHarness) -> None:
    handle = harness.create()
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    facts = read_facts(handle, harness.artifacts, None)
    assert facts.data is not None and facts.no_images == "" and len(facts.data.manifest.split("test")) > 0
