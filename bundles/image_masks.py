"""Score predicted masks at the original resolution of their images.

Shapes: I images.
"""

from collections.abc import Sequence

import numpy as np

from ..data.images import read_mask
from ..data.manifest import Sample
from ..trials.evaluate import RESAMPLES, Score, percentile_score
from ..trials.metrics import MaskMetric, MaskOutcomes, dice, iou
from ..trials.predict import Predictor

_METRICS: dict[str, MaskMetric] = {"iou_image": iou, "dice_image": dice}


def score_image_masks(predictor: Predictor, samples: Sequence[Sample], *, seed: int = 0) -> dict[str, Score]:
    """Return ``iou_image`` and ``dice_image`` of the masks that ``predict`` writes.

    Pixels outside the view, for example outside a crop, count as background. Pixels are summed over
    the images before the division; the 95 % intervals resample images. The result is empty without
    a decoder or masks. Raises DataError for a file that cannot be decoded.
    """
    masked = [sample for sample in samples if sample.mask is not None]
    if not masked or predictor.network.decoder is None:
        return {}
    outcomes = _count(predictor, masked)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(masked), size=(RESAMPLES, len(masked)))
    return {
        name: percentile_score(metric(outcomes), np.array([metric(outcomes.take(index_I)) for index_I in draws]))
        for name, metric in _METRICS.items()
    }


def _count(predictor: Predictor, samples: Sequence[Sample]) -> MaskOutcomes:
    rows: list[tuple[int, int, int]] = []
    for sample, prediction in zip(samples, predictor.predict([sample.image for sample in samples]), strict=True):
        assert sample.mask is not None and prediction.mask is not None
        height, width = prediction.mask.shape
        actual_HW, predicted_HW = read_mask(sample.mask, (width, height)) > 0, prediction.mask > 0
        rows.append((int((actual_HW & predicted_HW).sum()), int(predicted_HW.sum()), int(actual_HW.sum())))
    both_I, predicted_I, actual_I = np.array(rows, dtype=np.int64).T
    return MaskOutcomes(both_I, predicted_I, actual_I, bce_I=np.zeros(len(rows)))
