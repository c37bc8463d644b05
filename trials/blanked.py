"""Images whose background is blanked, as a training with ``data.blank`` shows them.

Shapes: N images, M their views.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .features import Features, join


class Views(NamedTuple):
    """Features of views of images, M of them, and the number of the image of each."""

    features: Features
    image_M: NDArray[np.int64]


def blank_weights(share: float) -> tuple[float, float]:
    """Return the weights of an image as it is and of its blanked copy.

    Their ratio is that of a training that blanks ``share`` of its images; the larger weight is 1.
    """
    larger = max(share, 1 - share)
    return (1 - share) / larger, share / larger


def with_blanked(clean: Features, blanked: Features, masked: NDArray[np.int64], *, share: float) -> Views:
    """Return the images as they are, then the ``blanked`` copies of those that have a mask.

    ``masked`` are the numbers of these images. Both have the weights of ``blank_weights``; an image
    without a mask has the weight 1.
    """
    kept, added = blank_weights(share)
    weight_N = np.ones(len(clean.y))
    weight_N[masked] = kept
    parts = (
        Features(clean.x, clean.y, clean.probabilities, weight_N),
        Features(blanked.x, blanked.y, blanked.probabilities, np.full(len(masked), added)),
    )
    return Views(join(*parts), np.concatenate([np.arange(len(clean.y)), masked]))
