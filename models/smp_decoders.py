"""Decoders of segmentation_models_pytorch, by name, with that library's defaults.

Shapes: B batch, C a level's channels, H W its size. See ``decoders`` for levels and outputs.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.manet.decoder import MAnetDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

from ..errors import UsageError
from .decoders import Projection
from .network_config import DecoderConfig

# The library counts the image as the first level. For an encoder that starts at a quarter of the
# image it expects one more level, with no channels, as its own transformers have.
_DEPTH = 5
_IMAGE_CHANNELS = 3
_UNET_WIDTHS = (256, 128, 64, 32, 16)
_WIDTH = 256
_FPN_WIDTH = 128
# Their pooled branch is normalised over the batch alone.
_POOLED = ("deeplabv3plus", "upernet")


class SMPDecoder(nn.Module):
    """One of the library's decoders and its head, initialised as the library does.

    Encoders have five levels from half of the image's size on, or four from a quarter on, each half
    as large as the one before. Levels of odd sizes are extended to exact halves by repeating their
    last row and column, and the logits are cropped. Raises UsageError for another number of levels
    and for deep supervision. ``forward`` raises it for levels that do not halve.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig) -> None:
        super().__init__()
        _check(channels, config)
        self.kind = config.kind
        part = _RECIPES[config.kind]
        self.read = [level for level in range(len(channels)) if level - len(channels) in part.reads]
        self.project = Projection([channels[level] for level in self.read], config.channels)
        widths = list(channels)
        for level, width in zip(self.read, self.project.out_channels, strict=True):
            widths[level] = width
        self.decoder = part.make([_IMAGE_CHANNELS, *(0,) * (_DEPTH - len(channels)), *widths])
        self.head = SegmentationHead(part.width, config.maps, kernel_size=part.kernel, upsampling=part.upsampling)
        if part.initialised:
            initialize_decoder(self.decoder)
            initialize_head(self.head)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits ``(B, K, 2 H1, 2 W1)``, twice the first level's sides.

        With four levels the logits have four times the first level's sides. Raises UsageError for a
        batch of one in training if the decoder cannot train on it.
        """
        _check_sizes([tuple(level.shape[-2:]) for level in levels], self.kind)
        if self.training and self.kind in _POOLED and len(levels[0]) == 1:
            raise UsageError(f"decoder.kind={self.kind} cannot train on one image: set train.batch_size to 2 or more")
        missing = _DEPTH - len(levels) + 1
        height, width = (side << missing for side in levels[0].shape[-2:])
        projected = list(levels)
        for level, x_BCHW in zip(self.read, self.project([levels[level] for level in self.read]), strict=True):
            projected[level] = x_BCHW
        aligned = _align(projected)
        logits_B1HW = self.head(self.decoder([*_empty_levels(aligned[0], missing), *aligned]))
        return [logits_B1HW[..., :height, :width]]


def _check(channels: Sequence[int], config: DecoderConfig) -> None:
    if len(channels) not in (_DEPTH - 1, _DEPTH):
        raise UsageError(
            f"decoder.kind={config.kind} needs 4 or 5 encoder levels, got {len(channels)}: "
            "choose another encoder, or the decoder unet"
        )
    if config.supervise:
        raise UsageError(
            f"decoder.supervise=true is not possible with decoder.kind={config.kind}: "
            "choose unet, unet3p, unet3p_ref or mnsa, or set it to false"
        )


def _check_sizes(sizes: Sequence[tuple[int, ...]], kind: str) -> None:
    for finer, coarser in itertools.pairwise(sizes):
        if any(after not in (before // 2, -(-before // 2)) for before, after in zip(finer, coarser, strict=True)):
            shown = ", ".join("x".join(map(str, size)) for size in sizes)
            raise UsageError(
                f"decoder.kind={kind} needs encoder levels that halve from one to the next, got {shown}: "
                "choose another encoder, encoder.taps=levels, or the decoder unet"
            )


def _align(levels: Sequence[Tensor]) -> list[Tensor]:
    """Extend levels at the bottom and right so that each has exactly twice the size of the next."""
    halvings = range(len(levels) - 1, -1, -1)
    pairs = list(zip(levels, halvings, strict=True))
    height = max(-(-level.shape[-2] // 2**n) for level, n in pairs)
    width = max(-(-level.shape[-1] // 2**n) for level, n in pairs)
    return [_extend(level, height << n, width << n) for level, n in pairs]


def _extend(x_BCHW: Tensor, height: int, width: int) -> Tensor:
    below, right = height - x_BCHW.shape[-2], width - x_BCHW.shape[-1]
    return F.pad(x_BCHW, (0, right, 0, below), mode="replicate") if below or right else x_BCHW


def _empty_levels(first_BCHW: Tensor, count: int) -> list[Tensor]:
    """Return levels without channels above the first, the image included.

    The library reads only their sizes.
    """
    batch, _, height, width = first_BCHW.shape
    return [first_BCHW.new_zeros(batch, 0, height << n, width << n) for n in range(count, 0, -1)]


def _deeplabv3plus(channels: list[int]) -> nn.Module:
    # The published encoder is dilated to end at 1/16; these encoders end at 1/32. Half the rates
    # then cover the same area of the image, and twice the upsampling reaches the level at 1/4.
    decoder = DeepLabV3PlusDecoder(
        encoder_channels=channels,
        encoder_depth=_DEPTH,
        out_channels=_WIDTH,
        atrous_rates=(6, 12, 18),
        output_stride=16,
        aspp_separable=True,
        aspp_dropout=0.5,
    )
    decoder.up = nn.Upsample(scale_factor=8, mode="bilinear", align_corners=True)
    return decoder


class _Recipe(NamedTuple):
    """How to build a decoder: constructor, head, and the levels that it reads.

    ``make`` takes the channels, the image's first. ``width``, ``kernel`` and ``upsampling``
    describe the head. ``initialised`` is False where the library leaves torch's initialisation.
    """

    make: Callable[[list[int]], nn.Module]
    width: int
    kernel: int = 1
    upsampling: int = 4
    reads: tuple[int, ...] = (-5, -4, -3, -2, -1)
    initialised: bool = True


_RECIPES = {
    "smp_unet": _Recipe(lambda channels: UnetDecoder(channels, _UNET_WIDTHS), _UNET_WIDTHS[-1], 3, 1),
    "unetplusplus": _Recipe(lambda channels: UnetPlusPlusDecoder(channels, _UNET_WIDTHS), _UNET_WIDTHS[-1], 3, 1),
    "manet": _Recipe(lambda channels: MAnetDecoder(channels, _UNET_WIDTHS), _UNET_WIDTHS[-1], 3, 1),
    "deeplabv3plus": _Recipe(_deeplabv3plus, _WIDTH, reads=(-4, -1), initialised=False),
    "fpn": _Recipe(lambda channels: FPNDecoder(channels), _FPN_WIDTH, reads=(-4, -3, -2, -1)),
    "upernet": _Recipe(lambda channels: UPerNetDecoder(channels), _WIDTH, reads=(-4, -3, -2, -1)),
    "segformer": _Recipe(lambda channels: SegformerDecoder(channels), _WIDTH),
}
