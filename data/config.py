"""How an image becomes a network's input."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class DataConfig(BaseModel):
    """The view of an image: its size in pixels and the random changes it undergoes in training.

    ``fit`` says how an image of any shape reaches ``size`` x ``size``: ``squash`` resizes both sides, ``pad``
    resizes the long side and pads with the mean colour, ``crop`` keeps the native scale (zero-pads right and bottom
    up to ``size``, then crops: at random in training, centred in evaluation; the papers' way, spec section 3.4).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=128, ge=16, le=4096)
    fit: Literal["squash", "pad", "crop"] = "squash"
    min_area: float = Field(default=1.0, gt=0, le=1, description="smallest share of the image in a random resized crop")
    hflip: float = Field(default=0.5, ge=0, le=1)
    vflip: float = Field(default=0.0, ge=0, le=1)
    rotate: float = Field(default=0.0, ge=0, le=180, description="largest rotation in degrees")
    colour: float = Field(default=0.0, ge=0, le=1, description="strength of brightness, contrast, saturation jitter")
    blank: float = Field(default=0.0, ge=0, le=1, description="probability of blanking the background")
    erase: float = Field(default=0.0, ge=0, le=1, description="probability of erasing a rectangle of image and mask")
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


class SplitConfig(BaseModel):
    """How images are split: the shares of the validation and the sealed test part, and the seed of the draw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**63)
    val: float = Field(default=0.2, gt=0, lt=1)
    test: float = Field(default=0.2, gt=0, lt=1)
