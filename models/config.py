"""Configs of a network and its parts: plain data, no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Gate = Literal["none", "mean", "meanmax"]
DecoderKind = Literal["none", "unet", "mnsa"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderConfig(_Config):
    """A timm encoder by name.

    ``weights`` is ``none`` (random), ``pretrained`` (timm's own) or the path of a safetensors file. ``frozen_children``
    freezes that many leading top-level children while the classifier trains (spec section 3.3); ``frozen_bn_eval``
    keeps their BatchNorm statistics still as well.
    """

    name: str = "resnet18"
    weights: str = "none"
    frozen_children: int = Field(default=0, ge=0)
    frozen_bn_eval: bool = True


class WidthsConfig(_Config):
    """Output width of each enhancer branch as a fraction of the level's channels; 0 leaves the branch out."""

    deform3: float = Field(default=0.125, ge=0, le=1)
    deform5: float = Field(default=0.125, ge=0, le=1)
    atrous2: float = Field(default=0.125, ge=0, le=1)
    atrous3: float = Field(default=0.125, ge=0, le=1)
    meanmax: float = Field(default=0.125, ge=0, le=1)


class DecoderConfig(_Config):
    """The segmentation decoder.

    ``channels`` 0 is the published, exact form; a positive number first projects every level to at most that many
    channels (1x1 convolution, BatchNorm, ReLU) and drops the second of the two linear bottleneck convolutions: the
    efficient form. ``transfer`` is MNSA's skip-compression ratio t. ``full_size`` adds a last x2 upsampling, so
    that the logits have the input's size instead of half of it.
    """

    kind: DecoderKind = "none"
    widths: WidthsConfig = WidthsConfig()
    transfer: float = Field(default=0.25, ge=0, le=1)
    channels: int = Field(default=0, ge=0)
    gate_from: int = Field(default=6, ge=1, le=6, description="first level (1..5) whose skip is gated; 6: none")
    full_size: bool = False


class NetworkConfig(_Config):
    """Encoder, gate, classification head and, if wanted, a decoder."""

    encoder: EncoderConfig = EncoderConfig()
    gate: Gate = "meanmax"
    decoder: DecoderConfig = DecoderConfig()
    num_classes: int = Field(ge=2)
