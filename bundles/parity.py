"""The gate before a bundle gets its name: it agrees with its samples, in torch and in onnxruntime.

Shapes: H W the image's size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..trials.prediction import Prediction
from .load_network import LoadedBundle, load_parts
from .open_predictor import open_predictor
from .record import SAMPLES, BundleRecord
from .samples import sample_names
from .verify import compare, probability_tolerance

# Smallest share of a mask's pixels that both runners must give alike.
MASK_AGREEMENT = 0.999


def verify_new(folder: Path, record: BundleRecord) -> dict[str, Any]:
    """Load a new bundle back and compare it with its samples, its graphs and both runners.

    Raises UserError with the first disagreement.
    """
    parts = load_parts(folder, record)
    return compare(folder, parts) | compare_runners(folder, parts)


def compare_runners(folder: Path, parts: LoadedBundle) -> dict[str, float]:
    """Predict the stored samples from their files with torch and with onnxruntime.

    Return the largest difference of a probability and the smallest share of equal mask pixels.
    Raises UserError unless labels are equal, probabilities agree within the tolerance of
    ``verify.compare``, and masks in ``MASK_AGREEMENT`` of their pixels. A label may differ where
    two classes are as probable, within the tolerance.
    """
    record = parts.record
    paths = [folder / SAMPLES / name for name in sample_names(folder)]
    by_torch = list(parts.predictor(device=None, flips=False).predict(paths))
    by_onnx = list(open_predictor(folder, record, runner="onnx").predict(paths))
    return require_agreement(by_torch, by_onnx, tolerance=probability_tolerance(record))


def require_agreement(
    by_torch: Sequence[Prediction], by_onnx: Sequence[Prediction], *, tolerance: float
) -> dict[str, float]:
    """Compare the predictions of two runners; see ``compare_runners``."""
    difference, agreement = 0.0, 1.0
    for one, other in zip(by_torch, by_onnx, strict=True):
        first, second = dict(one.top), dict(other.top)
        shared = first.keys() & second.keys()
        # NumPy's maximum keeps NaN.
        difference = float(np.max([difference, *(abs(first[name] - second[name]) for name in shared)]))
        if one.label != other.label and not one.probability - first.get(other.label, 0.0) <= 2 * tolerance:
            raise _disagrees(one, f"`{one.label}` by torch and `{other.label}` by onnxruntime")
        if not difference <= tolerance:
            raise _disagrees(one, f"a probability differs by {difference:.2e}, above {tolerance:g}")
        if one.mask is not None and other.mask is not None:
            agreement = min(agreement, float((one.mask == other.mask).mean()))
            if agreement < MASK_AGREEMENT:
                raise _disagrees(one, f"{agreement:.2%} of the mask's pixels are equal, below {MASK_AGREEMENT:.1%}")
    return {"runners_difference": difference, "runners_mask_agreement": agreement}


def _disagrees(prediction: Prediction, how: str) -> UserError:
    name = prediction.path.name if prediction.path else "a sample"
    return UserError(f"torch and onnxruntime disagree on the sample {name}: {how}; the bundle was not written.")
