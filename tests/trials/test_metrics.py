"""Metrics against scikit-learn, torchmetrics and brute force."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_calibration_error

from venation.trials import metrics
from venation.trials.metrics import LabelOutcomes


@pytest.fixture(scope="module")
def probabilities_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of 80 images for 7 classes, and their labels."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, 80)
    probability = rng.dirichlet(np.ones(7), 80)
    probability[np.arange(80), label] += rng.uniform(0, 0.5, 80)
    # Class 6 is neither a label nor a prediction: a macro mean must leave it out.
    probability[:, 6] = 0.0
    return probability / probability.sum(1, keepdims=True), label


ProbabilitiesAndLabels = tuple[np.ndarray, np.ndarray]


def test_label_metrics_agree_with_scikit_learn(probabilities_and_labels: ProbabilitiesAndLabels) -> None:
    probability, label = probabilities_and_labels
    outcomes = LabelOutcomes.of(probability, label)
    guess = probability.argmax(1)
    classes = list(range(7))
    assert metrics.accuracy(outcomes) == pytest.approx(sk.accuracy_score(label, guess))
    assert metrics.macro_f1(outcomes) == pytest.approx(sk.f1_score(label, guess, average="macro"))
    assert metrics.logloss(outcomes) == pytest.approx(sk.log_loss(label, probability, labels=classes))
    for k in (1, 3, 5):
        expected = sk.top_k_accuracy_score(label, probability, k=k, labels=classes)
        assert metrics.top_k(outcomes, k) == pytest.approx(expected)
    np.testing.assert_array_equal(metrics.confusion(outcomes), sk.confusion_matrix(label, guess, labels=classes))
    scores = metrics.per_class(outcomes)
    expected = sk.precision_recall_fscore_support(label, guess, labels=classes, zero_division=0)
    for found, column in zip(
        (scores.precision_N, scores.recall_N, scores.f1_N, scores.support_N), expected, strict=True
    ):
        np.testing.assert_allclose(found, column)


def test_a_resample_has_the_metrics_of_the_same_images(probabilities_and_labels: ProbabilitiesAndLabels) -> None:
    probability, label = probabilities_and_labels
    index = np.random.default_rng(3).integers(80, size=80)
    again = LabelOutcomes.of(probability, label).take(index)
    for name, metric in again.metrics().items():
        assert metric(again) == metric(LabelOutcomes.of(probability[index], label[index])), name


@pytest.mark.parametrize("sharpness", [1.0, 0.1, 20.0])
def test_the_calibration_error_equals_that_of_torchmetrics(sharpness: float) -> None:
    rng = np.random.default_rng(5)
    probability = rng.dirichlet(np.full(9, 1 / sharpness), 500)
    label = rng.integers(0, 9, 500)
    expected = multiclass_calibration_error(
        torch.tensor(probability), torch.tensor(label), num_classes=9, n_bins=15, norm="l1"
    )
    assert metrics.ece(LabelOutcomes.of(probability, label)) == pytest.approx(float(expected), abs=1e-6)


def test_the_calibration_error_weights_bins_by_images() -> None:
    # Three images at 0.9, two of them right; one at 0.6, right; one certain and wrong.
    first = np.array([0.9, 0.9, 0.9, 0.6, 1.0])
    outcomes = LabelOutcomes.of(np.stack([first, 1 - first], axis=1), np.array([0, 0, 1, 0, 1]))
    assert metrics.ece(outcomes) == pytest.approx(3 / 5 * (0.9 - 2 / 3) + 1 / 5 * 0.4 + 1 / 5 * 1.0)


def test_top_k_is_left_out_for_few_classes() -> None:
    names = {
        classes: set(LabelOutcomes.of(np.eye(classes), np.arange(classes)).metrics()) & {"top3", "top5"}
        for classes in (3, 4, 5, 6)
    }
    assert names == {3: set(), 4: {"top3"}, 5: {"top3"}, 6: {"top3", "top5"}}


def test_ties_go_to_the_lower_class() -> None:
    uniform = LabelOutcomes.of(np.full((4, 4), 0.25), np.arange(4))
    assert metrics.top_k(uniform, 1) == metrics.accuracy(uniform) == 0.25
    assert metrics.top_k(uniform, 3) == 0.75
    assert metrics.top_k(uniform, 5) == 1.0


def test_the_logloss_of_probability_zero_is_finite() -> None:
    value = metrics.logloss(LabelOutcomes.of(np.array([[1.0, 0.0]]), np.array([1])))
    assert 80 < value < 100
