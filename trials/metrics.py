"""Metrics of a data set's labels, computed with NumPy.

Shapes: I images, N classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Guo et al. 2017, "On Calibration of Modern Neural Networks", use 15 bins throughout.
CALIBRATION_BINS = 15
# A probability of exactly zero would make one image's log-loss infinite.
_MIN_PROBABILITY = float(np.finfo(np.float32).tiny)

# Metrics for which lower is better.
MINIMISED = frozenset({"logloss", "ece", "bce"})


@dataclass(frozen=True)
class LabelOutcomes:
    """The predicted labels of images, with all that metrics need of the probabilities.

    It does not hold the probabilities themselves, so resampling is cheap. ``predicted_I`` is the
    most probable class and ``confidence_I`` its probability. ``target_probability_I`` is the
    probability of the true class, ``rank_I`` the number of classes ranked above it. Ties go to the
    lower class index.
    """

    num_classes: int
    label_I: Ints
    predicted_I: Ints
    rank_I: Ints
    confidence_I: Floats
    target_probability_I: Floats

    @classmethod
    def of(cls, probability_IN: NDArray[np.floating], label_I: Ints) -> Self:
        """Return the outcomes of class probabilities."""
        label_I1 = label_I[:, None]
        target_I1 = np.take_along_axis(probability_IN, label_I1, axis=1)
        classes_N = np.arange(probability_IN.shape[1])
        ahead_IN = (probability_IN > target_I1) | ((probability_IN == target_I1) & (classes_N < label_I1))
        return cls(
            num_classes=probability_IN.shape[1],
            label_I=label_I.astype(np.int64),
            predicted_I=probability_IN.argmax(axis=1),
            rank_I=ahead_IN.sum(axis=1),
            confidence_I=probability_IN.max(axis=1).astype(np.float64),
            target_probability_I=target_I1[:, 0].astype(np.float64),
        )

    def take(self, index: Ints) -> Self:
        """Return a resample of the images, given by ``index``."""
        return type(self)(
            self.num_classes,
            self.label_I[index],
            self.predicted_I[index],
            self.rank_I[index],
            self.confidence_I[index],
            self.target_probability_I[index],
        )

    def metrics(self) -> dict[str, "LabelMetric"]:
        """Return the metrics that are informative for this number of classes.

        ``top3`` is always 1 for three classes, ``top5`` for five.
        """
        return {name: metric for name, metric in LABEL_METRICS.items() if self.num_classes > _MIN_CLASSES.get(name, 0)}


LabelMetric = Callable[[LabelOutcomes], float]


def top_k(outcomes: LabelOutcomes, k: int) -> float:
    """Return the share of images whose label is among the ``k`` most probable classes."""
    return float((outcomes.rank_I < k).mean())


def accuracy(outcomes: LabelOutcomes) -> float:
    """Return the share of images whose most probable class is their label."""
    return float((outcomes.predicted_I == outcomes.label_I).mean())


def macro_f1(outcomes: LabelOutcomes) -> float:
    """Return the mean F1 over the classes that occur as label or prediction, equally weighted."""
    hits_N, support_N, predicted_N = _class_counts(outcomes)
    both_N = support_N + predicted_N
    seen_N = both_N > 0
    return float((2 * hits_N[seen_N] / both_N[seen_N]).mean())


def logloss_per_image(outcomes: LabelOutcomes) -> Floats:
    """Return the negative natural logarithm of the true class's probability, for every image."""
    return -np.log(np.maximum(outcomes.target_probability_I, _MIN_PROBABILITY))


def logloss(outcomes: LabelOutcomes) -> float:
    """Return the mean negative natural logarithm of the true class's probability."""
    return float(logloss_per_image(outcomes).mean())


def ece(outcomes: LabelOutcomes) -> float:
    """Return the expected calibration error over 15 equal bins of confidence.

    It is the mean of |accuracy - confidence|, weighted by images. Guo et al. 2017, equation 3; bin
    m is (m / 15, (m + 1) / 15].
    """
    bin_I = np.ceil(outcomes.confidence_I * CALIBRATION_BINS).astype(np.int64).clip(1, CALIBRATION_BINS) - 1
    excess_I = (outcomes.predicted_I == outcomes.label_I) - outcomes.confidence_I
    return float(np.abs(np.bincount(bin_I, weights=excess_I)).sum() / len(bin_I))


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of every class, zero where undefined, and its number of images."""

    precision_N: Floats
    recall_N: Floats
    f1_N: Floats
    support_N: Ints


def per_class(outcomes: LabelOutcomes) -> ClassScores:
    """Return the scores of every class."""
    hits_N, support_N, predicted_N = _class_counts(outcomes)
    return ClassScores(
        precision_N=hits_N / np.maximum(predicted_N, 1),
        recall_N=hits_N / np.maximum(support_N, 1),
        f1_N=2 * hits_N / np.maximum(support_N + predicted_N, 1),
        support_N=support_N,
    )


def _class_counts(outcomes: LabelOutcomes) -> tuple[Ints, Ints, Ints]:
    """Return the number of correct images, images and predictions of each class."""
    label_I, predicted_I, num_classes = outcomes.label_I, outcomes.predicted_I, outcomes.num_classes
    return (
        np.bincount(label_I[predicted_I == label_I], minlength=num_classes),
        np.bincount(label_I, minlength=num_classes),
        np.bincount(predicted_I, minlength=num_classes),
    )


def confusion(outcomes: LabelOutcomes) -> Ints:
    """Return counts ``(N, N)``: the row is the true class, the column the predicted one."""
    num_classes = outcomes.num_classes
    cell_I = outcomes.label_I * num_classes + outcomes.predicted_I
    return np.bincount(cell_I, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


LABEL_METRICS: dict[str, LabelMetric] = {
    "accuracy": accuracy,
    "top3": lambda outcomes: top_k(outcomes, 3),
    "top5": lambda outcomes: top_k(outcomes, 5),
    "macro_f1": macro_f1,
    "logloss": logloss,
    "ece": ece,
}
# The label metrics that are shares of images.
SHARES = ("accuracy", "top3", "top5")
_MIN_CLASSES = {"top3": 3, "top5": 5}
