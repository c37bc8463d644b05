"""The pixel counts of a network's masks on each image of a split, as a small JSON file.

Shapes: I images, C mask classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .mask_metrics import MaskOutcomes, iou
from .metrics import Floats

MASK_OUTCOMES = "mask_outcomes.json"
_DIGITS = 6


@dataclass(frozen=True)
class ImageMasks:
    """The predicted and true masks of every image as counts of pixels.

    ``images`` are the keys of the images in the data set, in the order of the counts.
    """

    images: tuple[str, ...]
    masks: MaskOutcomes

    @classmethod
    def joined(cls, parts: Sequence["ImageMasks"]) -> "ImageMasks":
        """Return the counts of several sets of images, one after the other."""
        images = tuple(image for part in parts for image in part.images)
        masks = MaskOutcomes(
            np.concatenate([part.masks.intersection_I for part in parts]),
            np.concatenate([part.masks.predicted_I for part in parts]),
            np.concatenate([part.masks.actual_I for part in parts]),
            np.concatenate([part.masks.bce_I for part in parts]),
            classes=parts[0].masks.classes,
        )
        return cls(images, masks)

    def iou_I(self) -> Floats:
        """Return the IoU of every image, the mean over the mask classes that it has."""
        return np.array([iou(self.masks.take(np.array([index]))) for index in range(len(self.images))])

    def record(self) -> dict[str, Any]:
        """Return the counts as plain data, one list for each field."""
        return {
            "images": self.images,
            "classes": self.masks.classes,
            "intersection": self.masks.intersection_I.tolist(),
            "predicted": self.masks.predicted_I.tolist(),
            "actual": self.masks.actual_I.tolist(),
            "bce": self.masks.bce_I.round(_DIGITS).tolist(),
        }

    def write(self, path: Path) -> Path:
        """Write the counts as JSON, and return ``path``."""
        path.write_text(json.dumps(self.record()))
        return path

    @classmethod
    def read(cls, path: Path) -> "ImageMasks":
        """Read a file that ``write`` wrote."""
        return cls.from_record(json.loads(path.read_text()))

    @classmethod
    def from_record(cls, content: Mapping[str, Any]) -> "ImageMasks":
        """Return the counts that ``record`` returned as plain data."""
        masks = MaskOutcomes(
            np.array(content["intersection"], dtype=np.int64),
            np.array(content["predicted"], dtype=np.int64),
            np.array(content["actual"], dtype=np.int64),
            np.array(content["bce"], dtype=np.float64),
            classes=tuple(content["classes"]),
        )
        return cls(tuple(content["images"]), masks)
