"""Records of version 0.1 among the user attributes are read there, and moved by `db init`."""

import json

import optuna
from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.storage.attributes import CAUSE, CONFIG, HISTORY, METRICS, records_of
from venation.studies.registry import best_trial, open_study, trial_details
from venation.upkeep.move_records import move_records

OLD = {"config": {"data": {"size": 32}}, "history": [{"attempt": 1}], "cause": "oom: too large"}


def test_records_of_ended_trials_are_moved_once_and_read_before_and_after(harness: StudyHarness) -> None:
    handle = harness.create(trials=9)
    for loss in (0.5, 0.25):
        metrics = {"logloss": loss, "ece": float("nan") if loss == 0.5 else 0.125}
        handle.study.add_trial(optuna.trial.create_trial(value=0.75, user_attrs=OLD | {"metrics": metrics}))
    waiting = handle.study.get_trials()[0]
    handle.storage.set_trial_user_attr(waiting._trial_id, CONFIG.key, {"of": "a running worker"})
    foreign = optuna.create_study(storage=harness.storage, study_name="foreign")
    foreign.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={"config": {"lr": 1}}))

    def seen() -> tuple[object, ...]:
        trials = open_study(harness.storage, "soy").study.get_trials()
        best = best_trial(handle)
        assert best is not None and trials[0].state == TrialState.WAITING
        return [json.dumps(records_of(trial)) for trial in trials], best.number, trial_details(handle, 2)

    before = seen()
    assert before[1] == 2, "of equal trials the one with the lower loss"
    assert move_records(harness.storage) == 2 and move_records(harness.storage) == 0
    assert seen() == before
    first, second = open_study(harness.storage, "soy").study.get_trials()[1:]
    assert first.user_attrs == {CAUSE.key: OLD["cause"]}
    assert second.user_attrs == {CAUSE.key: OLD["cause"], "metric:logloss": 0.25, "metric:ece": 0.125}
    assert second.system_attrs == {key: value for key, value in records_of(second).items()}
    assert (HISTORY.get(first), METRICS.need(second)["ece"]) == ([{"attempt": 1}], 0.125)
    assert foreign.get_trials()[0].user_attrs == {"config": {"lr": 1}}
    assert CONFIG.get(open_study(harness.storage, "soy").study.get_trials()[0]) == {"of": "a running worker"}
