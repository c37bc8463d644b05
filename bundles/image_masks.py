"""Score predicted masks at the original resolution of their images.

Shapes: I images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.images import read_mask
from ..data.manifest import Sample
from ..trials.evaluate import RESAMPLES, Score, percentile_score
from ..trials.mask_metrics import MaskMetric, MaskOutcomes, dice, iou
from ..trials.predict import Predictor
from ..trials.prediction import Prediction

_METRICS: dict[str, MaskMetric] = {"iou_image": iou, "dice_image": dice}


def score_image_masks(predictor: Predictor, samples: Sequence[Sample], *, seed: int = 0) -> dict[str, Score]:
    """Return ``iou_image`` and ``dice_image`` of the masks that ``predict`` writes.

    With several mask classes they are means over the classes, as in ``mask_metrics.iou``. Pixels
    outside the view, for example outside a crop, count as background. Pixels are summed over the
    images before the division; the 95 % intervals resample images. The result is empty without a
    decoder or masks. Raises DataError for a file that cannot be decoded.
    """
    masked = [sample for sample in samples if sample.mask is not None]
    if not masked or not predictor.runner.has_masks:
        return {}
    outcomes = count_image_masks(predictor, masked)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(masked), size=(RESAMPLES, len(masked)))
    return {
        name: percentile_score(metric(outcomes), np.array([metric(outcomes.take(index_I)) for index_I in draws]))
        for name, metric in _METRICS.items()
    }


def count_image_masks(predictor: Predictor, samples: Sequence[Sample]) -> MaskOutcomes:
    """Return the pixel counts of the predicted and the true masks at the images' own size."""
    found = predictor.predict([sample.image for sample in samples])
    rows = [mask_pixels(sample, prediction) for sample, prediction in zip(samples, found, strict=True)]
    return mask_outcomes(rows, predictor.runner.mask_classes)


def mask_pixels(sample: Sample, prediction: Prediction) -> list[list[int]]:
    """Return the pixels of both masks, of the predicted and of the true one, for each class."""
    assert sample.mask is not None and prediction.mask is not None
    height, width = prediction.mask.shape
    masks = read_mask(sample.mask, (width, height), sample.mask_classes), prediction.mask
    actual, predicted = (_structures(mask_HW, len(prediction.mask_classes)) for mask_HW in masks)
    return [_pixels(*pair) for pair in zip(actual, predicted, strict=True)]


def mask_outcomes(rows: Sequence[list[list[int]]], classes: tuple[str, ...]) -> MaskOutcomes:
    """Return the counts of all images from the ``mask_pixels`` of each."""
    columns_3IC = np.moveaxis(np.array(rows, dtype=np.int64), 2, 0)
    both_I, predicted_I, actual_I = columns_3IC if classes else columns_3IC[..., 0]
    return MaskOutcomes(both_I, predicted_I, actual_I, bce_I=np.zeros(len(rows)), classes=classes)


def _structures(mask_HW: NDArray[np.uint8], classes: int) -> list[NDArray[np.bool_]]:
    return [mask_HW == number for number in range(1, classes + 1)] if classes else [mask_HW > 0]


def _pixels(actual_HW: NDArray[np.bool_], predicted_HW: NDArray[np.bool_]) -> list[int]:
    """Return the number of pixels of both masks, of the predicted and of the true one."""
    return [int(part.sum()) for part in (actual_HW & predicted_HW, predicted_HW, actual_HW)]
