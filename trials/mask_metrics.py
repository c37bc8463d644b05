"""Metrics of a data set's masks, computed with NumPy from counts of pixels.

Shapes: I images, C mask classes.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .metrics import Floats, Ints

# The papers add it to intersection and union (XMNet and MNSA, section 3.4).
REF_EPSILON = 1e-9


@dataclass(frozen=True)
class MaskOutcomes:
    """Pixel counts of predicted and true masks, and BCE at the logits' size, per image.

    The counts are at full resolution, the network's input. ``cells`` are the counts at the logits'
    size if it differs. ``boundary_I`` is the boundary F-measure, None unless requested. With
    several mask classes, named by ``classes``, the counts are ``(I, C)``.
    """

    intersection_I: Ints
    predicted_I: Ints
    actual_I: Ints
    bce_I: Floats
    cells: "MaskOutcomes | None" = None
    boundary_I: Floats | None = None
    classes: tuple[str, ...] = ()

    def take(self, index: Ints) -> "MaskOutcomes":
        """Return a resample of the images, given by ``index``."""
        return MaskOutcomes(
            self.intersection_I[index],
            self.predicted_I[index],
            self.actual_I[index],
            self.bce_I[index],
            cells=None if self.cells is None else self.cells.take(index),
            boundary_I=None if self.boundary_I is None else self.boundary_I[index],
            classes=self.classes,
        )

    def metrics(self) -> dict[str, "MaskMetric"]:
        """Return the metrics that the counts allow; IoU and Dice of each class as ``iou/NAME``."""
        available = {"iou_cells": self.cells is not None, "boundary_f": self.boundary_I is not None}
        metrics = {name: metric for name, metric in MASK_METRICS.items() if available.get(name, True)}
        for index, name in enumerate(self.classes):
            metrics[f"iou/{name}"] = functools.partial(_one_class, ious, index)
            metrics[f"dice/{name}"] = functools.partial(_one_class, dices, index)
        return metrics


MaskMetric = Callable[[MaskOutcomes], float]


def ious(outcomes: MaskOutcomes) -> Floats:
    """Return intersection over union of each class, summed over the data set: ``(C,)``.

    It is NaN for a class that neither mask has anywhere. One structure counts as one class.
    """
    intersection_C, both_C = _sums(outcomes)
    return _ratio(intersection_C, both_C - intersection_C)


def dices(outcomes: MaskOutcomes) -> Floats:
    """Return 2 |A and B| / (|A| + |B|) of each class; otherwise as ``ious``."""
    intersection_C, both_C = _sums(outcomes)
    return _ratio(2 * intersection_C, both_C)


def iou(outcomes: MaskOutcomes) -> float:
    """Return the mean of ``ious`` over the classes that occur; 1 if all masks are empty.

    The background is no class.
    """
    return _mean_of_seen(ious(outcomes))


def iou_cells(outcomes: MaskOutcomes) -> float:
    """Return ``iou`` at the logits' size, against cells that the mask covers by half or more."""
    assert outcomes.cells is not None
    return iou(outcomes.cells)


def dice(outcomes: MaskOutcomes) -> float:
    """Return the mean of ``dices`` over the classes that occur; 1 if all masks are empty."""
    return _mean_of_seen(dices(outcomes))


def _sums(outcomes: MaskOutcomes) -> tuple[Ints, Ints]:
    """Return the pixels of the intersection, and of both masks together, of each class."""
    both_C = np.atleast_1d(outcomes.predicted_I.sum(axis=0) + outcomes.actual_I.sum(axis=0))
    return np.atleast_1d(outcomes.intersection_I.sum(axis=0)), both_C


def _ratio(part_C: Ints, whole_C: Ints) -> Floats:
    return np.where(whole_C > 0, part_C / np.maximum(whole_C, 1), np.nan)


def _mean_of_seen(value_C: Floats) -> float:
    seen_C = value_C[~np.isnan(value_C)]
    return float(seen_C.mean()) if len(seen_C) else 1.0


def _one_class(values: Callable[[MaskOutcomes], Floats], index: int, outcomes: MaskOutcomes) -> float:
    return _mean_of_seen(values(outcomes)[index : index + 1])


def boundary_f(outcomes: MaskOutcomes) -> float:
    """Return the mean boundary F-measure of the images (DAVIS); see ``boundary.boundary_f``."""
    assert outcomes.boundary_I is not None
    return float(outcomes.boundary_I.mean())


def bce(outcomes: MaskOutcomes) -> float:
    """Return the mean cross-entropy with the soft mask at the logits' size.

    It is binary for one structure, and that of the softmax for several classes.
    """
    return float(outcomes.bce_I.mean())


MASK_METRICS: dict[str, MaskMetric] = {
    "iou": iou,
    "iou_cells": iou_cells,
    "dice": dice,
    "boundary_f": boundary_f,
    "bce": bce,
}
