"""Tell when a study's validation images are too few to separate its trials."""

import math

from ..data.manifest import Manifest
from ..search.spec import StudySpec

_LEVEL = 0.05
# In McNemar's exact test two classifiers that differ on k images, all in favour of one, have a
# p-value of 2 / 2^k: the least k below the level, 6.
LEAST_IMAGES = math.floor(math.log2(2 / _LEVEL)) + 1
# The warning comes where LEAST_IMAGES are more than this share of the images.
_COARSE = 0.05
# The objectives that count images.
_COUNTED = ("accuracy", "macro_f1")


def coarse_validation(spec: StudySpec, manifest: Manifest) -> str | None:
    """Return a warning if the validation images cannot separate trials; None if they can.

    ``manifest`` has its splits. Two trials answer the same images, so the exact paired test
    (McNemar 1947) applies: below ``LEAST_IMAGES`` images no difference is significant at 5 %. The
    warning comes where these are more than 5 points, with less than 120 images. A study whose
    objective counts no images (log-loss, masks) gets none.
    """
    images = sum(sample.split != "test" for sample in manifest.samples) if spec.folds else len(manifest.split("val"))
    if spec.objective not in _COUNTED or LEAST_IMAGES <= _COARSE * images:
        return None
    one, least = 100 / images, 100 * LEAST_IMAGES / images
    chance = f"differences under {least:.0f} points ({LEAST_IMAGES} images)" if least <= 100 else "all differences"
    return (
        f"{images} validation images: one image is {one:.1f} points of accuracy, and {chance} between two trials may be"
        f" chance{_advice(spec)}"
    )


def _advice(spec: StudySpec) -> str:
    if spec.kind.facts.has_epochs and not spec.folds:
        return "; consider `--folds 5`, where all images but those of the test split validate"
    return "; `--objective logloss` compares trials by their probabilities"
