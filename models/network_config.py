"""Configs of a network and its parts, as plain data without torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Gate = Literal["none", "mean", "meanmax"]
DecoderKind = Literal[
    "none",
    "unet",
    "unet3p",
    "unet3p_ref",
    "mnsa",
    "smp_unet",
    "unetplusplus",
    "manet",
    "deeplabv3plus",
    "fpn",
    "upernet",
    "segformer",
]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EncoderConfig(_Config):
    """A timm encoder by name.

    ``weights`` is ``none`` (random), ``pretrained`` (from an installed package, the hub's local
    cache or the hub) or the path of a safetensors or torch.save file.
    ``frozen_children`` freezes that many leading top-level children while the classifier trains;
    ``auto`` stands for the number that suits the encoder (``frozen_count``). ``frozen_bn_eval``
    also fixes their BatchNorm statistics. ``frozen`` freezes the whole encoder: eval mode, no
    gradients.

    ``taps`` ``merged`` reads Swin's stages after their patch merging and the last stage's output,
    as PIM and HERBS do. With ``levels``, or with another encoder, the levels are timm's.
    """

    name: str = "resnet18"
    weights: str = "none"
    frozen_children: Annotated[int, Field(ge=0)] | Literal["auto"] = 0
    frozen_bn_eval: bool = True
    frozen: bool = False
    taps: Literal["levels", "merged"] = "levels"


class PluginConfig(_Config):
    """The plug-in module of PIM and HERBS, which replaces the pooled head; ``width`` 0 means none.

    It reads as many of the deepest levels as ``keep`` has entries. An entry of ``keep`` up to 1 is
    the fraction of a level's positions that are selected; above 1 it is their number. ``width`` is
    the common width D of all levels.
    """

    width: int = Field(default=0, ge=0)
    keep: tuple[float, ...] = Field(default=(8 / 9, 8 / 9, 8 / 9, 2 / 9), min_length=1)
    bottom_up: bool = Field(default=False, description="a second pyramid and second heads (HERBS)")
    rule: Literal["own", "image"] = Field(
        default="own",
        description="a position's score: probability of its own best class (PIM) or the image's class (HERBS)",
    )
    joint: int = Field(default=32, ge=1, description="selected positions per node of the combiner's graph")
    positions: Literal["auto", "learned", "resize"] = Field(
        default="auto", description="how a level is resized to its neighbour; auto: learned for tokens, else resize"
    )
    pass_equal: bool = Field(default=True, description="no learned mixing between levels of equal size (PIM)")
    ranks: Literal["learned", "mean"] = Field(
        default="learned", description="how ranked positions become nodes; mean fits any image size"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)


class WidthsConfig(_Config):
    """Width of each enhancer branch as a fraction of the level's channels; 0 removes the branch."""

    deform3: float = Field(default=0.125, ge=0, le=1)
    deform5: float = Field(default=0.125, ge=0, le=1)
    atrous2: float = Field(default=0.125, ge=0, le=1)
    atrous3: float = Field(default=0.125, ge=0, le=1)
    meanmax: float = Field(default=0.125, ge=0, le=1)


class LevelsConfig(_Config):
    """Factors on all branch widths of a level, shallow to deep; 0 removes the level's enhancer.

    An encoder with fewer levels ignores the last ones. From a sixth level on the factor is 1.
    """

    level1: float = Field(default=1.0, ge=0, le=4)
    level2: float = Field(default=1.0, ge=0, le=4)
    level3: float = Field(default=1.0, ge=0, le=4)
    level4: float = Field(default=1.0, ge=0, le=4)
    level5: float = Field(default=1.0, ge=0, le=4)


class DecoderConfig(_Config):
    """The segmentation decoder.

    ``channels`` 0 is the published form. A positive number gives the efficient form: it first
    projects every level to at most that many channels (1x1 convolution, BatchNorm, ReLU) and drops
    the second of the two linear bottleneck convolutions. ``transfer`` is MNSA's skip-compression
    ratio t. ``full_size`` adds a last x2 upsampling, so that the logits have the input's size
    instead of half of it.

    ``levels`` scales ``widths`` level by level. ``deform_kernel`` is the kernel size of the branch
    ``deform5``, ``dilation`` the dilation of the branch ``atrous3``; the branches keep their names
    for all values.

    ``classes`` names what the mask tells apart. Without names the mask has one structure: one map
    of logits. Two names or more add a map of the background before those of the classes. A study
    takes them from its data.
    """

    kind: DecoderKind = "none"
    classes: tuple[str, ...] = ()
    widths: WidthsConfig = WidthsConfig()
    levels: LevelsConfig = LevelsConfig()
    deform_kernel: int = Field(default=5, ge=3, le=7, description="kernel size of the larger deformable branch; odd")
    dilation: int = Field(default=3, ge=1, le=16, description="dilation of the second atrous branch")
    transfer: float = Field(default=0.25, ge=0, le=1)
    channels: int = Field(default=0, ge=0)
    gate_from: int = Field(default=6, ge=1, le=6, description="first level (1..5) whose skip is gated; 6: none")
    full_size: bool = False
    detail: int = Field(default=0, ge=0, description="image feature maps that correct the logits at full size; 0: none")
    tune_encoder: bool = Field(default=False, description="train a copy of the base's encoder with the decoder")
    supervise: bool = Field(default=False, description="deep supervision: 1x1 heads on deeper outputs in training")

    @property
    def maps(self) -> int:
        """Return the number of maps of logits: 1, or one for the background and for each class."""
        return len(self.classes) + 1 if self.classes else 1

    @field_validator("classes")
    @classmethod
    def _not_one(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) == 1 or len(set(names)) < len(names):
            raise ValueError("give no classes, or two different names or more")
        return names

    @field_validator("deform_kernel")
    @classmethod
    def _must_be_odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError("the kernel size must be odd: set 3, 5 or 7")
        return kernel


class NetworkConfig(_Config):
    """Encoder, gate, head or plug-in module, and an optional decoder.

    ``size`` is height and width of the images, ``channels`` the number of their channels.
    """

    encoder: EncoderConfig = EncoderConfig()
    gate: Gate = "meanmax"
    plugin: PluginConfig = PluginConfig()
    decoder: DecoderConfig = DecoderConfig()
    num_classes: int = Field(ge=2)
    size: tuple[int, int] = (224, 224)
    channels: int = Field(default=3, ge=1)
