import numpy as np
import pytest
from report_helpers import answered
from sklearn.calibration import calibration_curve

from venation.reports.drawing import drawing_style
from venation.reports.label_plots import calibration, confusion_matrices, most_confusing
from venation.trials.metrics import LabelOutcomes


def test_the_most_confused_classes_are_side_by_side() -> None:
    counts = 5 * np.eye(7, dtype=np.int64)
    counts[0, 5] = counts[5, 0] = 4  # 0 and 5 are confused, and 2 and 6 a little
    counts[2, 6] = 2
    order = most_confusing(counts, 5).tolist()
    assert sorted(order) == [0, 2, 5, 6]
    assert abs(order.index(0) - order.index(5)) == 1 and abs(order.index(2) - order.index(6)) == 1


def test_without_errors_there_is_nothing_to_group() -> None:
    assert most_confusing(np.eye(4, dtype=np.int64), 3).tolist() == []


def test_small_matrices_have_every_name_and_count() -> None:
    label_I = np.array([0, 0, 0, 1, 1, 2])
    with drawing_style():
        (drawing,) = confusion_matrices(answered(label_I, [0, 1, 1, 1, 1, 2], classes=3), ["oak", "ash", "beech"])
    for text in (">oak<", ">ash<", ">beech<", ">2<", ">1<"):
        assert text in drawing.svg
    assert "2 answers off the diagonal" in drawing.alt


def test_two_hundred_classes_have_an_overview_and_the_confused_by_name() -> None:
    label_I = np.repeat(np.arange(200), 5)
    answer_I = label_I.copy()
    answer_I[:5] = 3
    with drawing_style():
        drawings = confusion_matrices(answered(label_I, answer_I, classes=200), [f"species {i}" for i in range(200)])
    overview, detail = drawings
    assert "200 classes, 1000 images, 5 wrong" in overview.alt and ">200<" in overview.svg
    assert ">species 0<" in detail.svg and ">species 3<" in detail.svg and "species 7" not in detail.svg


def test_the_calibration_curve_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    confidence_I = rng.uniform(0.51, 1.0, size=400)
    probability_IN = np.stack([confidence_I, 1 - confidence_I], axis=1)
    right_I = rng.uniform(size=400) < confidence_I
    labels = LabelOutcomes.of(probability_IN, np.where(right_I, 0, 1))
    with drawing_style():
        drawing = calibration(labels)
    accuracy, confidence = calibration_curve(right_I, confidence_I, n_bins=15)
    shares = np.histogram(confidence_I, bins=15, range=(0, 1))[0]
    error = (np.abs(accuracy - confidence) * shares[shares > 0]).sum() / 400
    assert f"calibration error {error:.3f}" in drawing.alt
    assert f"{confidence_I.mean() - right_I.mean():+.3f}" in drawing.alt
    assert float(drawing.alt.split()[3].rstrip(";")) == pytest.approx(error, abs=1e-3)
