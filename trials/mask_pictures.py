"""Masks of predictions: arrays, pictures with a palette, and the share of each class.

Shapes: K maps of logits, C mask classes, H W the image's size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..data.mask_classes import MaskClasses
from .resample import Floats

_STRUCTURE = 255


def mask_array(logits_KHW: Floats) -> NDArray[np.uint8]:
    """Return the mask ``(H, W)`` of logits: 0 or 255 for one map, otherwise the class, from 0.

    One structure begins above the logit 0, the probability 0.5; of several classes, the most
    probable wins, as in ``models.mask_logits``.
    """
    if len(logits_KHW) == 1:
        return (logits_KHW[0] > 0).astype(np.uint8) * np.uint8(_STRUCTURE)
    return logits_KHW.argmax(axis=0).astype(np.uint8)


def mask_picture(mask_HW: NDArray[np.uint8], classes: Sequence[str]) -> Image.Image:
    """Return a mask as a picture: grey without ``classes``, otherwise with their palette."""
    return MaskClasses.of(classes).picture(mask_HW) if classes else Image.fromarray(mask_HW)


def class_shares(mask_HW: NDArray[np.uint8], classes: Sequence[str]) -> dict[str, float]:
    """Return the share of the pixels that belongs to each of the mask classes, by name."""
    if not classes:
        return {}
    counts = np.bincount(mask_HW.ravel(), minlength=len(classes) + 1)
    return {name: float(count / mask_HW.size) for name, count in zip(classes, counts[1:], strict=False)}
