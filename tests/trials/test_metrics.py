"""Metrics against scikit-learn and brute force."""

import numpy as np
import pytest
from sklearn import metrics as sk

from venation.trials import metrics
from venation.trials.metrics import LabelOutcomes, MaskOutcomes


@pytest.fixture(scope="module")
def outcomes() -> LabelOutcomes:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 6, 80)
    probability = rng.dirichlet(np.ones(7), 80)
    probability[np.arange(80), label] += rng.uniform(0, 0.5, 80)
    # Class 6 never occurs and is never guessed: a macro mean must leave it out.
    probability[:, 6] = 0.0
    return LabelOutcomes(probability / probability.sum(1, keepdims=True), label)


def test_label_metrics_agree_with_scikit_learn(outcomes: LabelOutcomes) -> None:
    guess = outcomes.probability_IN.argmax(1)
    classes = list(range(7))
    assert metrics.accuracy(outcomes) == pytest.approx(sk.accuracy_score(outcomes.label_I, guess))
    assert metrics.macro_f1(outcomes) == pytest.approx(sk.f1_score(outcomes.label_I, guess, average="macro"))
    assert metrics.logloss(outcomes) == pytest.approx(
        sk.log_loss(outcomes.label_I, outcomes.probability_IN, labels=classes)
    )
    for k in (1, 3, 5):
        expected = sk.top_k_accuracy_score(outcomes.label_I, outcomes.probability_IN, k=k, labels=classes)
        assert metrics.top_k(outcomes, k) == pytest.approx(expected)
    np.testing.assert_array_equal(
        metrics.confusion(outcomes), sk.confusion_matrix(outcomes.label_I, guess, labels=classes)
    )


def test_equal_probabilities_count_once() -> None:
    uniform = LabelOutcomes(np.full((4, 4), 0.25), np.arange(4))
    assert metrics.top_k(uniform, 1) == metrics.accuracy(uniform) == 0.25
    assert metrics.top_k(uniform, 3) == 0.75
    assert metrics.top_k(uniform, 5) == 1.0


def test_a_certain_mistake_has_a_large_but_finite_logloss() -> None:
    value = metrics.logloss(LabelOutcomes(np.array([[1.0, 0.0]]), np.array([1])))
    assert 80 < value < 100


def test_mask_metrics_sum_pixels_over_the_data_set_before_they_divide() -> None:
    rng = np.random.default_rng(1)
    predicted, actual = rng.random((2, 5, 9, 9)) > 0.6
    flat = (1, 2)
    counts = MaskOutcomes(
        (predicted & actual).sum(flat), predicted.sum(flat), actual.sum(flat), np.array([1.0, 2, 3, 4, 5])
    )
    assert metrics.iou(counts) == pytest.approx(sk.jaccard_score(actual.ravel(), predicted.ravel()))
    assert metrics.dice(counts) == pytest.approx(sk.f1_score(actual.ravel(), predicted.ravel()))
    assert metrics.bce(counts) == 3.0


def test_two_empty_masks_agree() -> None:
    zero = np.zeros(2, dtype=np.int64)
    empty = MaskOutcomes(zero, zero, zero, np.zeros(2))
    assert metrics.iou(empty) == metrics.dice(empty) == 1.0
