"""Masks scored at each image's own resolution: what a user holds in hand against what was drawn.

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
    """``iou_image`` and ``dice_image``: the masks that ``predict`` writes against the data's own, pixel by pixel.

    What the view does not show (outside of a crop, say) counts as background. Pixels are summed over the images before
    they are divided; the 95 % intervals draw images again. Empty without a decoder or masks. Raises DataError for a
    file that cannot be decoded.
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
    for sample, said in zip(samples, predictor.predict([sample.image for sample in samples]), strict=True):
        assert sample.mask is not None and said.mask is not None
        height, width = said.mask.shape
        actual_HW, said_HW = read_mask(sample.mask, (width, height)) > 0, said.mask > 0
        rows.append((int((actual_HW & said_HW).sum()), int(said_HW.sum()), int(actual_HW.sum())))
    both_I, said_I, actual_I = np.array(rows, dtype=np.int64).T
    return MaskOutcomes(both_I, said_I, actual_I, bce_I=np.zeros(len(rows)))
