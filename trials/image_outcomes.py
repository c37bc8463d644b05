"""A classifier's answer on each image of a split, as a small JSON file.

Shapes: I images.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .metrics import Floats, Ints, LabelOutcomes, logloss_per_image
from .paired import PairedDifference, compare_paired

OUTCOMES = "outcomes.json"
_DIGITS = 6


@dataclass(frozen=True)
class ImageOutcomes:
    """The true class, the answered class and the log-loss of every image.

    ``images`` are the keys of the images in the data set; classes are indices into ``classes``.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    label_I: Ints
    answer_I: Ints
    logloss_I: Floats

    @classmethod
    def of(cls, labels: LabelOutcomes, images: Sequence[str], classes: Sequence[str]) -> "ImageOutcomes":
        """Return the outcomes of ``images``, which are in the order of ``labels``."""
        return cls(tuple(images), tuple(classes), labels.label_I, labels.predicted_I, logloss_per_image(labels))

    def write(self, path: Path) -> Path:
        """Write the outcomes as JSON, one list for each field, and return ``path``."""
        content = {
            "images": self.images,
            "classes": self.classes,
            "label": self.label_I.tolist(),
            "answer": self.answer_I.tolist(),
            "logloss": self.logloss_I.round(_DIGITS).tolist(),
        }
        path.write_text(json.dumps(content))
        return path

    @classmethod
    def read(cls, path: Path) -> "ImageOutcomes":
        """Read a file that ``write`` wrote."""
        content = json.loads(path.read_text())
        return cls(
            tuple(content["images"]),
            tuple(content["classes"]),
            np.array(content["label"], dtype=np.int64),
            np.array(content["answer"], dtype=np.int64),
            np.array(content["logloss"], dtype=np.float64),
        )

    def compare(self, other: "ImageOutcomes") -> PairedDifference | None:
        """Return this accuracy minus that of ``other`` on the images that both have, if any."""
        theirs = dict(zip(other.images, other.answer_I == other.label_I, strict=True))
        mine = dict(zip(self.images, self.answer_I == self.label_I, strict=True))
        both = [image for image in self.images if image in theirs]
        if not both:
            return None
        return compare_paired(np.array([mine[image] for image in both]), np.array([theirs[image] for image in both]))
