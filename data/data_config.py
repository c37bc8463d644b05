"""Configs of the network's input (image size, fit, augmentation) and of the random splits."""

import re
from itertools import cycle, islice
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

MAX_CHANNELS = 64
_SIDES = range(16, 4097)
# Allowed values of normalisation, for pixels from 0 to 1.
_RANGES = {"mean": (0.0, 1.0), "std": (0.001, 10.0)}

# One number for each channel, or three that repeat.
Channels = tuple[float, ...]

# Fields that every record has, also those of version 0.1; a config given by a user never has all.
_RECORDED = frozenset("size zoom fit min_area hflip vflip rotate colour blank erase blur sharpen mean std".split())

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The fields that decide how an image looks to a network in evaluation; the others change training
# images alone.
VIEW_FIELDS = ("size", "channels", "white", "zoom", "fit", "border", "scale", "mean", "std", "interpolation")


class DataConfig(BaseModel):
    """The size of the network's input in pixels, and the random changes of images in training.

    ``size`` is a number of pixels, or HEIGHTxWIDTH. ``fit`` says how an image of any shape is
    brought to that size:

    - ``squash`` resizes both sides.
    - ``pad`` resizes with the aspect kept and pads with the mean colour.
    - ``crop`` keeps the native scale: it pads right and bottom up to ``size`` with zeros after the
      normalisation, the mean colour, then crops, at random in training and at the centre in
      evaluation (the way of XMNet and MNSA, section 3.4).
    - ``whole`` trains like ``crop``, and evaluates and predicts every image as a whole at its
      native scale, one at a time (the way of MGANet).
    - ``patch`` keeps the native scale, or ``scale`` times it, and pads a smaller image with the
      mean colour, right and bottom. Training draws ``patches`` patches of ``size`` from each image
      in an epoch: a share ``structure_share`` of them is centred on a random pixel of the mask, if
      there is one, the others are anywhere. Evaluation and prediction cover the whole image with
      overlapping windows of ``size``; see ``data/windows.py``.

    ``border`` ``black`` is what ``crop`` did in earlier versions: it pads with black and rounds the
    start of an odd centre crop to even. Records of those versions, which lack the field, get it.

    With ``zoom``, ``squash`` resizes to ``zoom`` times ``size`` and crops ``size`` from the result,
    at random in training and at the centre in evaluation (510 / 384 in PIM section 9 and HERBS).
    ``min_area`` below 1 replaces that random crop by a random resized crop of the whole zoomed
    picture. With ``patch``, the crop is of a patch that is larger by up to half, so that structures
    shrink by that at most.

    ``augment`` adds a policy of random changes in training: ``trivial`` is torchvision's
    TrivialAugmentWide, ``rand`` its RandAugment. Masks move with their images.

    ``white`` is the value that becomes white in images with more than 8 bits, for example 4095 for
    12 bits in a 16-bit file. 0 stands for the largest value of the type, 65535; floats and 32-bit
    integers need a value. Images of 8 bits are not changed.

    ``channels`` is the number of the images' channels, which a study takes from its data. ``mean``
    and ``std`` of the channels, of values 0 to 1, normalise the image: one number for each channel,
    or three that repeat (red, green, blue, red, ...), as the weights of a pretrained first layer
    do. ``interpolation`` resizes the image. ``auto`` stands for the value that the encoder was
    pretrained with, which a trial puts in its place (``trials.auto_fields``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: int | str = 128
    channels: int = Field(default=3, ge=2, le=MAX_CHANNELS, description="number of the images' channels")
    white: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="white of images with more than 8 bits")
    zoom: float = Field(default=1.0, ge=1, le=32)
    fit: Literal["squash", "pad", "crop", "whole", "patch"] = "squash"
    border: Literal["mean", "black"] = Field(default="mean", description="crop: colour of the padding")
    scale: float = Field(default=1.0, ge=0.05, le=4, description="patch: factor on the image's sides")
    structure_share: float = Field(default=0.5, ge=0, le=1, description="patch: share centred on structure")
    patches: int = Field(default=2, ge=1, le=64, description="patch: number per image and epoch")
    min_area: float = Field(default=1.0, gt=0, le=1, description="smallest share of the image in a random resized crop")
    hflip: float = Field(default=0.5, ge=0, le=1)
    vflip: float = Field(default=0.0, ge=0, le=1)
    turn: float = Field(default=0.0, ge=0, le=1, description="probability of a turn by 90, 180 or 270 degrees")
    rotate: float = Field(default=0.0, ge=0, le=180, description="largest rotation in degrees")
    colour: float = Field(default=0.0, ge=0, le=1, description="strength of brightness, contrast, saturation jitter")
    blank: float = Field(default=0.0, ge=0, le=1, description="probability of blanking the background")
    erase: float = Field(default=0.0, ge=0, le=1, description="probability of erasing a rectangle of image and mask")
    blur: float = Field(default=0.0, ge=0, le=1, description="probability of a Gaussian blur")
    augment: Literal["none", "trivial", "rand"] = Field(default="none", description="policy of random changes")
    sharpen: float = Field(default=0.0, ge=0, le=1, description="probability of sharpening")
    mean: Channels | Literal["auto"] = IMAGENET_MEAN
    std: Channels | Literal["auto"] = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic", "auto"] = "bilinear"

    @property
    def size_HW(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        if isinstance(self.size, int):
            return self.size, self.size
        height, width = self.size.split("x")
        return int(height), int(width)

    def with_view(self, other: "DataConfig") -> "DataConfig":
        """Return this config with the view of ``other``: what also changes images in evaluation."""
        return self.model_copy(update={name: getattr(other, name) for name in VIEW_FIELDS})

    def same_view(self, other: "DataConfig") -> bool:
        """Tell whether an image looks the same to a network in evaluation with either config."""
        return self.with_view(other) == self

    @property
    def crops(self) -> bool:
        """Tell whether training takes crops at the native scale."""
        return self.fit in ("crop", "whole")

    @property
    def one_at_a_time(self) -> bool:
        """Tell whether evaluation takes images one at a time, because they keep their own size."""
        return self.fit in ("patch", "whole")

    @property
    def normalisation(self) -> tuple[Channels, Channels]:
        """Return mean and standard deviation of each channel, of a config without ``auto``."""
        assert not isinstance(self.mean, str) and not isinstance(self.std, str)
        mean, std = (tuple(islice(cycle(values), self.channels)) for values in (self.mean, self.std))
        return mean, std

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_crops(cls, given: Any) -> Any:
        """Give the record of a crop that was made before ``border`` its meaning of that time."""
        if isinstance(given, dict) and given.get("fit") == "crop" and _RECORDED <= given.keys():
            return {"border": "black"} | given
        return given

    @field_validator("size", mode="before")
    @classmethod
    def _read_size(cls, value: Any) -> Any:
        """Read 96, "96" and "96x96" as 96; keep "96x128"."""
        sides = re.fullmatch(r"(\d+)(?:x(\d+))?", str(value))
        if sides is None or any(int(side) not in _SIDES for side in sides.groups() if side):
            raise ValueError(f"give pixels or HEIGHTxWIDTH, each from {_SIDES[0]} to {_SIDES[-1]}")
        height, width = int(sides[1]), int(sides[2] or sides[1])
        return height if height == width else f"{height}x{width}"

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _read_channels(cls, value: Any, info: ValidationInfo) -> Any:
        """Read three numbers or one a channel, also as text with commas, or "auto"."""
        parts = value.strip("[]() ").split(",") if isinstance(value, str) else value
        if parts in (["auto"], ("auto",)):
            return "auto"
        low, high = _RANGES[str(info.field_name)]
        try:
            numbers = [float(part) for part in parts]
        except (TypeError, ValueError):
            numbers = []
        channels = info.data.get("channels", 3)
        if len(numbers) not in (3, channels) or not all(low <= number <= high for number in numbers):
            each = ", or one for each of data.channels" if channels == 3 else f", or {channels}, one for each channel"
            raise ValueError(f"give auto, or three numbers from {low:g} to {high:g} for red, green and blue{each}")
        return tuple(numbers)

    @field_validator("fit")
    @classmethod
    def _zoom_needs_squash(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a zoom with ``pad`` (it would zoom its border) and the native scale."""
        zoom = info.data.get("zoom", 1.0)
        if zoom > 1 and value != "squash":
            raise ValueError(f"zoom={zoom:g} crops out of a squashed picture: set data.fit=squash or data.zoom=1")
        return value

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.scale != 1 and self.fit != "patch":
            raise ValueError(f"scale={self.scale:g} resizes before patches are cut: set data.fit=patch or data.scale=1")
        if self.turn and not isinstance(self.size, int):
            raise ValueError(f"turn={self.turn:g} turns squares only: set data.turn=0 or a square data.size")
        return self


class SplitConfig(BaseModel):
    """Random splitting: the shares of the validation and the held-out test split, and the seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(default=0, ge=0, lt=2**63)
    val: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.2, gt=0, lt=1)
