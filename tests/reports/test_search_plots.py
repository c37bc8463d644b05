import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from report_helpers import answered, finish, val_images
from study_helpers import StudyHarness

from venation.reports.drawing import drawing_style
from venation.reports.search_plots import history, importances, learning_curves, pareto
from venation.reports.space_plots import parallel_coordinates, searched_fields, value_by_field, widths
from venation.reports.study_facts import StudyFacts, read_facts


@pytest.fixture
def facts(harness: StudyHarness) -> StudyFacts:
    """Return a study of eight finished trials with curves, and one failed trial."""
    handle = harness.create(trials=9)
    images, label_I = val_images(handle)
    rng = np.random.default_rng(0)
    for _ in range(8):
        value = float(rng.uniform(0.2, 0.9))
        finish(harness, handle, answered(label_I, label_I, classes=3), images, value=value, curve=[0.1, value])
    harness.end_next(handle, TrialState.FAIL)
    return read_facts(handle, harness.artifacts, None)


def test_importances_are_those_of_optuna(facts: StudyFacts) -> None:
    expected = optuna.importance.get_param_importances(facts.handle.study)
    found = importances(facts)
    assert {name: share for name, share in expected.items() if name in found} == pytest.approx(found)
    assert sum(found.values()) == pytest.approx(1) and list(found.values()) == sorted(found.values(), reverse=True)


def test_figures_say_what_they_show(facts: StudyFacts) -> None:
    by_number = sorted(facts.ranked, key=lambda trial: trial.number)
    best = max(trial.values[0] for trial in by_number)
    with drawing_style():
        assert f"went from {by_number[0].values[0]:.4g} to {best:.4g}" in history(facts).alt
        curves, front = learning_curves(facts), pareto(facts)
        fields = searched_fields(facts, importances(facts))
        lines, cells = parallel_coordinates(facts, fields), value_by_field(facts, fields)
        assert widths(facts) is None
    assert curves is not None and "of 8 trials by epoch" in curves.alt and f">trial {facts.best.number}<" in curves.svg
    assert front is not None and str(facts.best.number) in front.alt
    assert lines is not None and cells is not None and set(fields[:5]) <= set(lines.alt.replace(",", " ").split())


def test_one_trial_has_a_history_and_no_comparison(harness: StudyHarness) -> None:
    handle = harness.create()
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    facts = read_facts(handle, harness.artifacts, None)
    with drawing_style():
        assert "Finished trials: 1;" in history(facts).alt and learning_curves(facts) is None
        assert importances(facts) == {} and searched_fields(facts, {}) == []
        assert parallel_coordinates(facts, []) is None and value_by_field(facts, []) is None
