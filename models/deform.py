"""Deformable convolution that mixes channels before it samples.

Shapes: B batch, C input channels, O output channels, K = kernel * kernel taps,
H W the input's size, h w the output's.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sampling import MixThenSample, mix_in_place_then_sample, mix_then_sample, sample_then_mix

# Mixing again in the backward pass costs time in proportion to the channels; storing the mixed maps
# costs memory in proportion to their size. Measured on a CPU at MNSA's branches, mixing again adds
# nothing at 96 channels, a tenth of the time at 384 and a quarter at 2112. Levels with many
# channels mostly have small maps. On a map with more positions than this, memory decides: 2 x 257
# -> 32 channels, 5 x 5, at 56 x 56 stores 21 MiB or nothing, for 0.20 s or 0.25 s per step.
_MAX_RECOMPUTED_CHANNELS = 256
_MAX_STORED_POSITIONS = 28 * 28
# On a CPU, reordering this many weights for this few positions takes longer than the product.
# Measured forwards and backwards, without reordering: 2112 -> 264 channels, 5 x 5, at 2 x 8 x 8
# positions takes 0.07 s instead of 0.27 s; 3 x 3 takes 0.037 s instead of 0.049 s.
_MIN_IN_PLACE_WEIGHTS = 2**22
_MAX_POSITIONS = 256


class DeformConv2d(nn.Module):
    """A k x k deformable convolution of stride 1 that predicts its own offsets.

    The offsets come from a 1x1 convolution, ReLU and a 1x1 convolution to 2k^2 channels (MNSA). The
    last one starts at zero, so that the layer starts as a plain convolution. MNSA's starts at
    random, and so samples noise in the first steps. Input ``(B, in_channels, H, W)``, output ``(B,
    out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, hidden: int = 64) -> None:
        super().__init__()
        # Never called: it provides the parameters and their initialisation.
        self.conv = nn.Conv2d(in_channels, out_channels, kernel)
        last = nn.Conv2d(hidden, 2 * kernel * kernel, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.offset = nn.Sequential(nn.Conv2d(in_channels, hidden, 1), nn.ReLU(), last)
        self.padding = kernel // 2

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Predict the offsets from ``x_BCHW`` and convolve it with them."""
        return self.convolve(x_BCHW, self.offset[:2](x_BCHW))

    def convolve(self, x_BCHW: Tensor, hidden: Tensor) -> Tensor:
        """Convolve ``x_BCHW``, given ``hidden``, the input of the last offset convolution.

        ``hidden`` is ``(B, hidden, H, W)``.
        """
        return deform_conv2d(x_BCHW, self._offset(hidden), self.conv.weight, self.conv.bias, padding=self.padding)

    def _offset(self, hidden: Tensor) -> Tensor:
        """Return the offsets ``(B, 2K, H, W)`` in the dtype of the weights, even under autocast.

        bfloat16 would round an offset of two pixels to a hundredth of a pixel.
        """
        last = cast(nn.Conv2d, self.offset[2])
        if _autocast_dtype(hidden) is None:
            return cast(Tensor, last(hidden))
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, last(hidden.to(last.weight.dtype)))


def deform_branches(x_BCHW: Tensor, layers: Sequence[DeformConv2d]) -> list[Tensor]:
    """Apply all layers to one input; their first offset convolutions run as one convolution."""
    if len(layers) < 2:
        return [layer(x_BCHW) for layer in layers]
    firsts = [cast(nn.Conv2d, layer.offset[0]) for layer in layers]
    weight = torch.cat([first.weight for first in firsts])
    bias = torch.cat([cast(Tensor, first.bias) for first in firsts])
    hidden = torch.split(F.relu(F.conv2d(x_BCHW, weight, bias)), [len(first.weight) for first in firsts], dim=1)
    return [layer.convolve(x_BCHW, part) for layer, part in zip(layers, hidden, strict=True)]


def deform_conv2d(
    x_BCHW: Tensor, offset: Tensor, weight_OCkk: Tensor, bias_O: Tensor | None = None, *, padding: int = 0
) -> Tensor:
    """Convolve ``x_BCHW`` at positions that ``offset`` moves.

    y(o, p) = bias(o) + sum over taps t and channels c of w(o, c, t) x(c, p + t + offset(t, p)).

    The same function as ``torchvision.ops.deform_conv2d`` with stride 1, dilation 1 and no
    modulation mask: bilinear, zero outside the input. ``offset`` is ``(B, 2K, h, w)`` in input
    pixels, (dy, dx) for each tap, taps row by row. The result is ``(B, O, h, w)`` in the offset's
    dtype, or in autocast's.

    Sampling acts on space and mixing on channels, so they commute: the side with fewer channels, O
    or C, is sampled. At whole-number positions the gradient of the offset is one of the two
    one-sided gradients.
    """
    out, channels = weight_OCkk.shape[:2]
    # Traced code uses plain operations only: a compiler itself decides which values to recompute.
    custom_backward = torch.is_grad_enabled() and not torch.compiler.is_compiling() and not x_BCHW.is_meta
    if out > channels:
        total_BOhw = sample_then_mix(x_BCHW, weight_OCkk, offset, padding, recompute=custom_backward)
    elif custom_backward and (
        channels <= _MAX_RECOMPUTED_CHANNELS or x_BCHW.shape[2] * x_BCHW.shape[3] > _MAX_STORED_POSITIONS
    ):
        total_BOhw = cast(Tensor, MixThenSample.apply(*_cast_for_autocast(x_BCHW, weight_OCkk), offset, padding))
    elif custom_backward and _reordering_dominates(x_BCHW, weight_OCkk):
        total_BOhw = mix_in_place_then_sample(x_BCHW, weight_OCkk, offset, padding)
    else:
        total_BOhw = mix_then_sample(x_BCHW, weight_OCkk, offset, padding)
    if bias_O is not None:
        total_BOhw = total_BOhw + bias_O.view(1, -1, 1, 1)
    return total_BOhw.to(_autocast_dtype(x_BCHW) or offset.dtype)


def _reordering_dominates(x_BCHW: Tensor, weight_OCkk: Tensor) -> bool:
    """Return whether a CPU would spend most of the time on reordering the weights."""
    positions = x_BCHW.shape[0] * x_BCHW.shape[2] * x_BCHW.shape[3]
    return x_BCHW.is_cpu and weight_OCkk.numel() >= _MIN_IN_PLACE_WEIGHTS and positions <= _MAX_POSITIONS


def _cast_for_autocast(x_BCHW: Tensor, weight_OCkk: Tensor) -> tuple[Tensor, Tensor]:
    """Cast both to autocast's dtype, which a custom autograd function does not get by itself."""
    dtype = _autocast_dtype(x_BCHW)
    return (x_BCHW, weight_OCkk) if dtype is None else (x_BCHW.to(dtype), weight_OCkk.to(dtype))


def _autocast_dtype(x_BCHW: Tensor) -> torch.dtype | None:
    """Return the dtype that autocast uses on the device of ``x``; None if autocast is off."""
    device = x_BCHW.device.type
    # Autocast raises an error for the meta device.
    half = not x_BCHW.is_meta and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if half else None
