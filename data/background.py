"""Test whether the background alone names the class: a leak that a network would learn.

Shapes: I images, C features, K classes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from ..errors import DataError
from .finding import Finding
from .images import read_image, read_mask
from .manifest import evenly_spaced
from .progress import tracked
from .samples import Sample

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# More images hardly change the result, and each is decoded.
MOST_IMAGES = 1000
# A leak is an accuracy this far from chance to 1, and not by chance at this level.
EXCESS, LEVEL = 0.4, 1e-3
_SIDE, _BINS, _FOLDS, _RIDGE = 64, 4, 5, 10.0
# Side of the square, in pixels of the smaller image, that separates the background from the hull.
_MARGIN = 11


@dataclass(frozen=True)
class Background:
    """How often a classifier of the background names the class, and how often chance does.

    ``images`` are those that it was asked for; both shares are 0 to 1.
    """

    hits: int
    images: int
    chance: float

    @property
    def share(self) -> float:
        """The share of images whose class the background names."""
        return self.hits / self.images

    @property
    def leaks(self) -> bool:
        """Whether the share is far above chance, and not by chance."""
        far = self.share >= self.chance + EXCESS * (1 - self.chance)
        return far and binomial_tail(self.hits, self.images, self.chance) <= LEVEL


def measure_background(samples: Sequence[Sample]) -> Background | None:
    """Return how often the colours outside the masks name the class of an image.

    A linear classifier on a histogram of these colours is cross-validated in five folds that keep
    groups whole. Only pixels outside the orthogonal hull of the mask count as background: a leaf's
    blade lies between its veins. Images without a mask, and files that cannot be decoded, are left
    out; None if fewer than ten images or two classes are left.
    """
    masked = evenly_spaced([sample for sample in samples if sample.mask is not None], MOST_IMAGES)
    known = [
        (sample, features)
        for sample in tracked(masked, "reading backgrounds", len(masked))
        if (features := background_colours(sample)) is not None
    ]
    labels = sorted({sample.label for sample, _ in known})
    if len(labels) < 2 or len(known) < 2 * _FOLDS:
        return None
    label_I = np.array([labels.index(sample.label) for sample, _ in known])
    hits = cross_validated_hits(np.array([features for _, features in known]), label_I, _folds(known))
    return Background(hits, len(known), max(Counter(label_I.tolist()).values()) / len(known))


def background_findings(background: Background | None) -> list[Finding]:
    """Return a warning if the background gives the class away."""
    if background is None or not background.leaks:
        return []
    message = (
        f"the colours outside the masks alone name the class of {background.share:.0%} of the images (chance:"
        f" {background.chance:.0%}): a network can learn the background in place of the structure; photograph all"
        " classes alike, or train with data.blank=0.5"
    )
    return [Finding("warning", "background", ".", message)]


def background_colours(sample: Sample) -> Floats | None:
    """Return the histogram, means and deviations of the colours around the mask; None for none."""
    try:
        pixel_HW3 = read_image(sample.image)
        assert sample.mask is not None
        mask_HW = read_mask(sample.mask, (pixel_HW3.shape[1], pixel_HW3.shape[0]), sample.mask_classes)
    except DataError:
        return None
    inside_HW = orthogonal_hull(mask_HW > 0)
    step_y, step_x = (max(1, side // _SIDE) for side in inside_HW.shape)
    near = Image.fromarray(inside_HW[::step_y, ::step_x]).convert("L").filter(ImageFilter.MaxFilter(_MARGIN))
    pixel_J3 = pixel_HW3[::step_y, ::step_x][np.asarray(near) == 0]
    if not len(pixel_J3):
        return None
    cell_J = (pixel_J3 // (256 // _BINS)).astype(np.int64) @ np.array([_BINS**2, _BINS, 1])
    share = np.bincount(cell_J, minlength=_BINS**3) / len(pixel_J3)
    return np.concatenate((np.sqrt(share), pixel_J3.mean(axis=0) / 255, pixel_J3.std(axis=0) / 255))


def orthogonal_hull(mask_HW: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels between two of the mask in their row, or in their column."""

    def between(axis: int) -> npt.NDArray[np.bool_]:
        forward = np.logical_or.accumulate(mask_HW, axis=axis)
        return forward & np.flip(np.logical_or.accumulate(np.flip(mask_HW, axis), axis=axis), axis)

    return between(0) | between(1)


def cross_validated_hits(x_IC: Floats, label_I: Ints, fold_I: Ints) -> int:
    """Return how many images a ridge classifier names right that was fitted without their fold."""
    target_IK = np.eye(int(label_I.max()) + 1)[label_I]
    hits = 0
    for fold in np.unique(fold_I):
        fitted = fold_I != fold
        if not fitted.any():
            continue
        mean_C, scale_C = x_IC[fitted].mean(axis=0), x_IC[fitted].std(axis=0) + 1e-9
        z_IC = np.concatenate(((x_IC - mean_C) / scale_C, np.ones((len(x_IC), 1))), axis=1)
        gram_CC = z_IC[fitted].T @ z_IC[fitted] + _RIDGE * np.eye(z_IC.shape[1])
        weight_CK = np.linalg.solve(gram_CC, z_IC[fitted].T @ target_IK[fitted])
        hits += int(((z_IC[~fitted] @ weight_CK).argmax(axis=1) == label_I[~fitted]).sum())
    return hits


def binomial_tail(hits: int, total: int, chance: float) -> float:
    """Return the probability of ``hits`` or more in ``total`` trials of probability ``chance``."""
    if chance >= 1:
        return 1.0
    logs = (
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        + k * math.log(chance)
        + (total - k) * math.log1p(-chance)
        for k in range(hits, total + 1)
    )
    return min(1.0, math.fsum(map(math.exp, logs)))


def _folds(known: Sequence[tuple[Sample, Floats]]) -> Ints:
    """Deal the groups of each class out to the folds in turn."""
    dealt: dict[str, dict[str, int]] = defaultdict(dict)
    for sample, _ in known:
        groups = dealt[sample.label]
        groups.setdefault(sample.group, len(groups) % _FOLDS)
    return np.array([dealt[sample.label][sample.group] for sample, _ in known])
