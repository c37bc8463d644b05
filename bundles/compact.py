"""The loss and gain of a bundle's graphs in a lower precision; a part of ``bundle.json``."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..errors import UsageError

Precision = Literal["fp32", "fp16", "int8"]
LowPrecision = Literal["fp16", "int8"]
_LOW: dict[str, LowPrecision] = {"fp16": "fp16", "int8": "int8"}

# An accuracy or an IoU that falls by more is said loudly; the rest is for rounding.
GREAT_LOSS = 0.01 + 1e-9

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


def low_precisions(names: Iterable[str]) -> tuple[LowPrecision, ...]:
    """Return the precisions of these names, each once. Raises UsageError for an unknown one."""
    found: dict[LowPrecision, None] = {}
    for name in names:
        if name not in _LOW:
            raise UsageError(f"--precision {name} was given; give fp16, int8 or both: graphs in fp32 are always there.")
        found[_LOW[name]] = None
    return tuple(found)


class Compact(BaseModel):
    """The graphs of one precision, measured at export next to those in fp32.

    Both ran in onnxruntime on the same validation ``images``. ``equal_labels`` is the share of them
    with one label, ``largest_difference`` that of a class probability. IoU, at the images' own
    size, is None without a decoder or masks. ``speed`` is the number of images per second; the two
    took turns. ``calibration`` counts the training images that fixed the ranges of int8.
    ``samples_difference`` is the largest difference of a probability on the stored samples, and
    ``samples_mask_difference`` the mean one of a mask; ``bundle check`` repeats both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    precision: LowPrecision
    images: int = Field(ge=1)
    accuracy: Share
    accuracy_fp32: Share
    equal_labels: Share
    largest_difference: Share
    iou: Share | None = None
    iou_fp32: Share | None = None
    speed: Positive
    speed_fp32: Positive
    bytes: int = Field(ge=1)
    bytes_fp32: int = Field(ge=1)
    calibration: int = Field(default=0, ge=0)
    samples_difference: Share
    samples_mask_difference: Share | None = None

    def sentence(self) -> str:
        """Return what the precision loses and gains, without a full stop."""
        scores = [f"accuracy {self.accuracy:.3f} against {self.accuracy_fp32:.3f}"]
        if self.iou is not None:
            scores.append(f"IoU {self.iou:.3f} against {self.iou_fp32:.3f}")
        return (
            f"{self.precision}: validation {' and '.join(scores)} ({self.images} images,"
            f" {self.equal_labels:.1%} of the labels equal), {self.speed / self.speed_fp32:.1f} times as fast,"
            f" {self.bytes / self.bytes_fp32:.2f} times the size"
        )

    def great_loss(self) -> str | None:
        """Return what falls by more than a point, in a sentence without a full stop; else None."""
        falls = {"accuracy": self.accuracy_fp32 - self.accuracy}
        if self.iou is not None and self.iou_fp32 is not None:
            falls["IoU"] = self.iou_fp32 - self.iou
        said = [f"{name} by {100 * fall:.1f} points" for name, fall in falls.items() if fall > GREAT_LOSS]
        return f"{self.precision} lowers the validation {' and the '.join(said)}" if said else None
