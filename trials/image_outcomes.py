"""A classifier's answer on each image of a split, as a small JSON file.

Shapes: I images.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .metrics import Floats, Ints, LabelOutcomes, logloss_per_image
from .paired import PairedDifference, compare_paired

OUTCOMES = "outcomes.json"
_DIGITS = 6


@dataclass(frozen=True)
class ImageOutcomes:
    """The true class, the answered class, the log-loss and the confidence of every image.

    ``images`` are the keys of the images in the data set; classes are indices into ``classes``.
    ``confidence_I`` is the probability of the answer, None in files from before it was recorded.
    """

    images: tuple[str, ...]
    classes: tuple[str, ...]
    label_I: Ints
    answer_I: Ints
    logloss_I: Floats
    confidence_I: Floats | None = None

    @classmethod
    def of(cls, labels: LabelOutcomes, images: Sequence[str], classes: Sequence[str]) -> "ImageOutcomes":
        """Return the outcomes of ``images``, which are in the order of ``labels``."""
        answers = labels.label_I, labels.predicted_I, logloss_per_image(labels), labels.confidence_I
        return cls(tuple(images), tuple(classes), *answers)

    @classmethod
    def joined(cls, parts: Sequence["ImageOutcomes"]) -> "ImageOutcomes":
        """Return the outcomes of several sets of images, one after the other."""
        confidences = [part.confidence_I for part in parts if part.confidence_I is not None]
        return cls(
            tuple(image for part in parts for image in part.images),
            parts[0].classes,
            np.concatenate([part.label_I for part in parts]),
            np.concatenate([part.answer_I for part in parts]),
            np.concatenate([part.logloss_I for part in parts]),
            np.concatenate(confidences) if len(confidences) == len(parts) else None,
        )

    def record(self) -> dict[str, Any]:
        """Return the outcomes as plain data, one list for each field."""
        return {
            "images": self.images,
            "classes": self.classes,
            "label": self.label_I.tolist(),
            "answer": self.answer_I.tolist(),
            "logloss": self.logloss_I.round(_DIGITS).tolist(),
            **({} if self.confidence_I is None else {"confidence": self.confidence_I.round(_DIGITS).tolist()}),
        }

    def write(self, path: Path) -> Path:
        """Write the outcomes as JSON, and return ``path``."""
        path.write_text(json.dumps(self.record()))
        return path

    @classmethod
    def read(cls, path: Path) -> "ImageOutcomes":
        """Read a file that ``write`` wrote."""
        return cls.from_record(json.loads(path.read_text()))

    @classmethod
    def from_record(cls, content: Mapping[str, Any]) -> "ImageOutcomes":
        """Return the outcomes that ``record`` returned as plain data."""
        return cls(
            tuple(content["images"]),
            tuple(content["classes"]),
            np.array(content["label"], dtype=np.int64),
            np.array(content["answer"], dtype=np.int64),
            np.array(content["logloss"], dtype=np.float64),
            np.array(content["confidence"], dtype=np.float64) if "confidence" in content else None,
        )

    def compare(self, other: "ImageOutcomes") -> PairedDifference | None:
        """Return this accuracy minus that of ``other`` on the images that both have, if any."""
        theirs = dict(zip(other.images, other.answer_I == other.label_I, strict=True))
        mine = dict(zip(self.images, self.answer_I == self.label_I, strict=True))
        both = [image for image in self.images if image in theirs]
        if not both:
            return None
        return compare_paired(np.array([mine[image] for image in both]), np.array([theirs[image] for image in both]))
