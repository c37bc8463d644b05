"""Trials read by one statement equal those that Optuna reads."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from venation.storage.quick_trials import QuickStorage

SPACE = {
    "width": CategoricalDistribution((0.0, 0.25, 1.0)),
    "gate": CategoricalDistribution(("none", "mean", None, True)),
    "lr": FloatDistribution(1e-5, 1.0, log=True),
    "depth": IntDistribution(1, 9, step=2),
}


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    """A study of two objectives with every kind of trial."""
    study = optuna.create_study(storage=storage, directions=["maximize", "minimize"])
    for values in ([1.0, 2.0], [float("inf"), -float("inf")], [0.1 + 0.2, 1e-300]):
        trial = optuna.trial.create_trial(
            values=values,
            params={"width": 0.25, "gate": None, "lr": 0.1 + 0.2, "depth": 3},
            distributions=SPACE,
            intermediate_values={0: 1.0, 5: float("nan"), 7: float("inf"), 9: -float("inf")},
            user_attrs={"note": 'an "ä"', "number": 3, "nan": float("nan"), "list": [1, None]},
            system_attrs={"config": {"a": {"b": 1e-7}}},
        )
        study.add_trial(trial)
    study.enqueue_trial({"lr": 0.5})
    asked = study.ask()
    asked.suggest_float("lr", 1e-5, 1.0, log=True)
    study.ask()
    study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
    return study


def text_of(trials: list[FrozenTrial]) -> list[str]:
    """Return all that trials hold; NaN equals itself."""
    parts = ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs", "_trial_id")
    parts += ("intermediate_values", "datetime_start", "datetime_complete")
    return [
        repr([sorted(part.items()) if isinstance(part := getattr(trial, name), dict) else part for name in parts])
        for trial in trials
    ]


def test_trials_are_those_that_optuna_reads(storage: RDBStorage, study: optuna.Study) -> None:
    quick = QuickStorage(storage)
    theirs = storage.get_all_trials(study._study_id)
    assert text_of(quick.get_all_trials(study._study_id)) == text_of(theirs) and len(theirs) == 6
    assert math.isnan(quick.get_all_trials(study._study_id)[0].intermediate_values[5])
    assert all(isinstance(value, float) for value in quick.get_all_trials(study._study_id)[0].values)
    for states in ((TrialState.COMPLETE,), (TrialState.FAIL, TrialState.RUNNING), ()):
        found = quick.get_all_trials(study._study_id, states=states)
        assert text_of(found) == text_of(storage.get_all_trials(study._study_id, states=states))


def test_optunas_cache_over_it_sees_new_ends(storage: RDBStorage, study: optuna.Study) -> None:
    cached = optuna.storages.get_storage(QuickStorage(storage))
    assert text_of(cached.get_all_trials(study._study_id)) == text_of(storage.get_all_trials(study._study_id))
    running = [trial for trial in study.get_trials() if trial.state == TrialState.RUNNING]
    storage.set_trial_state_values(running[0]._trial_id, TrialState.COMPLETE, [0.5, 0.5])
    study.ask()
    assert text_of(cached.get_all_trials(study._study_id)) == text_of(storage.get_all_trials(study._study_id))


def test_a_deleted_study_is_missing(storage: RDBStorage, study: optuna.Study) -> None:
    storage.delete_study(study._study_id)
    with pytest.raises(KeyError):
        QuickStorage(storage).get_all_trials(study._study_id)
