"""The heat map of widths: its cells are means over the finished trials."""

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState
from study_helpers import StudyHarness

from venation.insight.width_map import width_map
from venation.search.handle import StudyHandle

SPACE = {
    "widths.a": CategoricalDistribution((0.0, 0.5, 1.0)),
    "levels.b": CategoricalDistribution((2, 1)),
    "kind": CategoricalDistribution(("unet", "mnsa")),
    "lr": FloatDistribution(1e-5, 1.0),
}


def add(handle: StudyHandle, value: float, a: float, b: int, state: TrialState = TrialState.COMPLETE) -> None:
    params = {"widths.a": a, "levels.b": b, "kind": "unet", "lr": 0.5}
    values = {"value": value} if state == TrialState.COMPLETE else {}
    handle.study.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, state=state, **values))


def test_cells_are_means_of_finished_trials(harness: StudyHarness) -> None:
    handle = harness.create(trials=9)
    with handle.storage.engine.connect() as connection:
        assert width_map(handle, connection) is None
    for value, a, b in ((0.2, 0.0, 1), (0.4, 0.0, 2), (0.9, 1.0, 1)):
        add(handle, value, a, b)
    add(handle, 0.0, 0.5, 1, TrialState.FAIL)
    with handle.storage.engine.connect() as connection:
        figure = width_map(handle, connection)
    assert figure is not None
    (heat,) = figure["data"]
    assert (heat["type"], heat["y"]) == ("heatmap", ["levels.b", "widths.a"])
    assert [[round(cell, 9) for cell in row] for row in heat["z"]] == [[0.55, 0.4], [0.3, 0.9]]
    assert heat["text"] == [["1", "2"], ["0", "1"]] and heat["customdata"] == [[2, 1], [2, 1]]
