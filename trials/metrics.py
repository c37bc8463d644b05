"""Metrics over the outcomes of a data set: NumPy in, plain floats out.

Shapes: I images, N classes, T batches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The papers add it to intersection and union alike (XMNet and MNSA, section 3.4).
REF_EPSILON = 1e-9
# A probability of exactly zero would make one image's log-loss infinite.
_SMALLEST = float(np.finfo(np.float32).tiny)

# Metrics where less is better.
MINIMISED = frozenset({"logloss", "bce"})


@dataclass(frozen=True)
class LabelOutcomes:
    """Class probabilities and true labels, image by image."""

    probability_IN: Floats
    label_I: Ints

    def take(self, index: Ints) -> "LabelOutcomes":
        """The same images again, some several times, some not at all: a resample."""
        return LabelOutcomes(self.probability_IN[index], self.label_I[index])


@dataclass(frozen=True)
class MaskOutcomes:
    """Pixel counts of predicted and true masks at full resolution, and BCE at the logits', image by image."""

    intersection_I: Ints
    predicted_I: Ints
    actual_I: Ints
    bce_I: Floats

    def take(self, index: Ints) -> "MaskOutcomes":
        """The same images again, some several times, some not at all: a resample."""
        return MaskOutcomes(
            self.intersection_I[index], self.predicted_I[index], self.actual_I[index], self.bce_I[index]
        )


def top_k(outcomes: LabelOutcomes, k: int) -> float:
    """Share of images whose label is among the ``k`` most probable classes; ties go to the lower class index."""
    label_I1 = outcomes.label_I[:, None]
    own_I1 = np.take_along_axis(outcomes.probability_IN, label_I1, axis=1)
    classes_N = np.arange(outcomes.probability_IN.shape[1])
    ahead_IN = (outcomes.probability_IN > own_I1) | ((outcomes.probability_IN == own_I1) & (classes_N < label_I1))
    return float((ahead_IN.sum(axis=1) < k).mean())


def accuracy(outcomes: LabelOutcomes) -> float:
    """Share of images whose most probable class is their label."""
    return float((outcomes.probability_IN.argmax(axis=1) == outcomes.label_I).mean())


def macro_f1(outcomes: LabelOutcomes) -> float:
    """Mean F1 over the classes that occur as label or as prediction, each class weighing the same."""
    num_classes = outcomes.probability_IN.shape[1]
    guess_I = outcomes.probability_IN.argmax(axis=1)
    hits_N = np.bincount(outcomes.label_I[guess_I == outcomes.label_I], minlength=num_classes)
    both_N = np.bincount(outcomes.label_I, minlength=num_classes) + np.bincount(guess_I, minlength=num_classes)
    seen_N = both_N > 0
    return float((2 * hits_N[seen_N] / both_N[seen_N]).mean())


def logloss(outcomes: LabelOutcomes) -> float:
    """Mean negative natural logarithm of the true class's probability."""
    own_I = outcomes.probability_IN[np.arange(len(outcomes.label_I)), outcomes.label_I]
    return float(-np.log(np.maximum(own_I, _SMALLEST)).mean())


def iou(outcomes: MaskOutcomes) -> float:
    """Intersection over union of the structure's pixels, both summed over the data set; 1 if both are empty."""
    intersection = int(outcomes.intersection_I.sum())
    union = int(outcomes.predicted_I.sum() + outcomes.actual_I.sum()) - intersection
    return intersection / union if union else 1.0


def dice(outcomes: MaskOutcomes) -> float:
    """2 |A and B| / (|A| + |B|), summed over the data set; 1 if both are empty."""
    both = int(outcomes.predicted_I.sum() + outcomes.actual_I.sum())
    return 2 * int(outcomes.intersection_I.sum()) / both if both else 1.0


def bce(outcomes: MaskOutcomes) -> float:
    """Mean binary cross-entropy with the soft mask at the logits' size."""
    return float(outcomes.bce_I.mean())


def confusion(outcomes: LabelOutcomes) -> Ints:
    """Counts ``(N, N)``: row the true class, column the most probable one."""
    num_classes = outcomes.probability_IN.shape[1]
    cell_I = outcomes.label_I * num_classes + outcomes.probability_IN.argmax(axis=1)
    return np.bincount(cell_I, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


LABEL_METRICS: dict[str, Callable[[LabelOutcomes], float]] = {
    "accuracy": accuracy,
    "top3": lambda outcomes: top_k(outcomes, 3),
    "top5": lambda outcomes: top_k(outcomes, 5),
    "macro_f1": macro_f1,
    "logloss": logloss,
}
MASK_METRICS: dict[str, Callable[[MaskOutcomes], float]] = {"iou": iou, "dice": dice, "bce": bce}
