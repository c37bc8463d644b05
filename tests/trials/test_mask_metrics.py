"""Metrics of masks against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

from venation.trials import mask_metrics as metrics
from venation.trials.mask_metrics import MaskOutcomes


def test_mask_metrics_divide_sums_over_the_data_set() -> None:
    rng = np.random.default_rng(1)
    predicted, actual = rng.random((2, 5, 9, 9)) > 0.6
    flat = (1, 2)
    counts = MaskOutcomes(
        (predicted & actual).sum(flat), predicted.sum(flat), actual.sum(flat), np.array([1.0, 2, 3, 4, 5])
    )
    assert metrics.iou(counts) == pytest.approx(sk.jaccard_score(actual.ravel(), predicted.ravel()))
    assert metrics.dice(counts) == pytest.approx(sk.f1_score(actual.ravel(), predicted.ravel()))
    assert metrics.bce(counts) == 3.0


def test_two_empty_masks_score_1() -> None:
    zero = np.zeros(2, dtype=np.int64)
    empty = MaskOutcomes(zero, zero, zero, np.zeros(2))
    assert metrics.iou(empty) == metrics.dice(empty) == 1.0


def test_only_counted_mask_metrics_are_returned() -> None:
    zero = np.zeros(2, dtype=np.int64)
    plain = MaskOutcomes(zero, zero, zero, np.zeros(2))
    assert set(plain.metrics()) == {"iou", "dice", "bce"}
    cells = MaskOutcomes(np.array([1, 2]), np.array([2, 4]), np.array([2, 3]), np.zeros(2))
    whole = MaskOutcomes(zero, zero, zero, np.zeros(2), cells=cells, boundary_I=np.array([0.5, 1.0]))
    found = {name: metric(whole) for name, metric in whole.metrics().items()}
    assert found == {"iou": 1.0, "iou_cells": pytest.approx(3 / 8), "dice": 1.0, "boundary_f": 0.75, "bce": 0.0}
    second = whole.take(np.array([1, 1]))
    assert metrics.boundary_f(second) == 1.0 and metrics.iou_cells(second) == pytest.approx(4 / 10)


def test_classes_equal_torchmetrics_and_absent_ones_do_not_count() -> None:
    """The mean is over the classes that either mask has; the last of five occurs nowhere."""
    random = np.random.default_rng(4)
    actual, predicted = random.integers(0, 4, (2, 3, 8, 9))
    counts = [
        np.stack([(a & b).sum(axis=(1, 2)) for a, b in pairs], axis=1)
        for pairs in (
            [((predicted == k), (actual == k)) for k in range(1, 5)],
            [((predicted == k), (predicted == k)) for k in range(1, 5)],
            [((actual == k), (actual == k)) for k in range(1, 5)],
        )
    ]
    outcomes = MaskOutcomes(*counts, np.zeros(3), classes=("a", "b", "c", "d"))
    found = {name: metric(outcomes) for name, metric in outcomes.metrics().items()}
    targets = torch.tensor(predicted), torch.tensor(actual)
    ious = multiclass_jaccard_index(*targets, num_classes=4, average="none").numpy()[1:]
    dices = multiclass_f1_score(*targets, num_classes=4, average="none").numpy()[1:]
    for name, iou, dice in zip("abc", ious, dices, strict=True):
        assert found[f"iou/{name}"] == pytest.approx(iou, rel=1e-6)
        assert found[f"dice/{name}"] == pytest.approx(dice, rel=1e-6)
    assert found["iou"] == pytest.approx(ious.mean(), rel=1e-6)
    assert found["dice"] == pytest.approx(dices.mean(), rel=1e-6)
    assert (found["iou/d"], found["dice/d"]) == (1.0, 1.0)
    assert outcomes.take(np.array([2, 0])).classes == ("a", "b", "c", "d")
