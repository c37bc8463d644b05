"""Compare two classifiers on the same images: difference in accuracy, interval and exact test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
# The level of both the interval and the test.
_LEVEL = 0.05


@dataclass(frozen=True)
class PairedDifference:
    """The accuracy of one classifier minus that of another on the same images.

    ``low`` and ``high`` are the 95 % paired bootstrap interval. ``gained`` counts the images that
    only the first one answers correctly, ``lost`` those of the second one. ``p_value`` is that of
    McNemar's exact test.
    """

    images: int
    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p_value: float

    @property
    def verdict(self) -> str:
        """Return ``better``, ``worse`` or, where chance explains the difference, ``even``."""
        # With few images that differ, the bootstrap interval is too short, and the exact test is
        # not.
        if self.p_value >= _LEVEL or self.low <= 0 <= self.high:
            return "even"
        return "better" if self.difference > 0 else "worse"


def compare_paired(
    first_I: NDArray[np.bool_], second_I: NDArray[np.bool_], *, seed: int = 0, resamples: int = RESAMPLES
) -> PairedDifference:
    """Compare which images two classifiers answer correctly, ``(I,)`` each, in the same order.

    The percentile bootstrap resamples images (Efron and Tibshirani 1993, section 13.3). The
    difference depends only on how many images of a resample the classifiers differ on, so these
    counts are drawn from their multinomial distribution. McNemar 1947, in its exact, binomial form.
    Raises ValueError without images.
    """
    # Bundles and studies only describe a recorded comparison, and scipy takes long to import.
    from scipy.stats import binomtest

    images = len(first_I)
    if not images:
        raise ValueError("there are no images to compare on")
    gained, lost = int((first_I & ~second_I).sum()), int((second_I & ~first_I).sum())
    shares = [gained / images, lost / images, 1 - (gained + lost) / images]
    draws = np.random.default_rng(seed).multinomial(images, shares, size=resamples)
    low, high = np.percentile((draws[:, 0] - draws[:, 1]) / images, (100 * _LEVEL / 2, 100 * (1 - _LEVEL / 2)))
    p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return PairedDifference(
        images=images,
        difference=(gained - lost) / images,
        low=float(low),
        high=float(high),
        gained=gained,
        lost=lost,
        p_value=float(p_value),
    )


def describe_difference(found: PairedDifference, *, first: str, images: str) -> str:
    """Return by how much ``first`` beats the linear probe, as a sentence without a full stop.

    ``images`` names the kind of image. For example ``trial 3 beats the linear probe by 4.1 points
    (1.2 to 7.0) on 67 validation images``.
    """
    low, high = 100 * found.low, 100 * found.high
    points = f"{100 * found.difference:.1f} points ({low:.1f} to {high:.1f}) on {found.images} {images} images"
    if found.verdict == "better":
        return f"{first} beats the linear probe by {points}"
    if found.verdict == "worse":
        return f"{first} is worse than the linear probe: {points}"
    doubt = "" if low <= 0 <= high else f", which may be chance (McNemar's test: p = {found.p_value:.2f})"
    return f"{first} is not better than the linear probe: {points}{doubt}"
