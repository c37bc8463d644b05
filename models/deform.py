"""Deformable convolution that mixes channels before it samples.

Shapes: B batch, C input channels, O output channels, K = kernel * kernel taps, H W the input's size, h w the output's.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .sampling import MixThenSample, mix_in_place_then_sample, mix_then_sample, sample_then_mix

# Mixing anew in the backward pass costs in proportion to the channels, keeping what was mixed in proportion to the map.
# Measured on a CPU at MNSA's branches: it costs nothing at 96 channels, a tenth of the time at 384, a quarter at 2112.
# The levels with many channels are mostly those with small maps; on a large one (positions of an image) memory decides:
# 2 x 257 -> 32 channels, 5 x 5, at 56 x 56 keep 21 MiB or nothing, for 0.20 s or 0.25 s of a step.
_MOST_REMIXED = 256
_LARGEST_KEPT = 28 * 28
# On a CPU weights as many as these are not brought into another order for as few positions. Measured forwards and
# backwards: 2112 -> 264 channels, 5 x 5, at 2 x 8 x 8 positions take 0.07 s in place of 0.27 s; 3 x 3, 0.037 s in place
# of 0.049 s.
_LEAST_IN_PLACE = 2**22
_MOST_POSITIONS = 256


class DeformConv2d(nn.Module):
    """A k x k deformable convolution of stride 1 that predicts its own offsets (MNSA: 1x1, ReLU, 1x1 -> 2k^2).

    The last offset convolution starts at zero, so that the layer starts as a plain convolution; MNSA's starts at
    random and samples noise from the first step. Input ``(B, in_channels, H, W)``, output ``(B, out_channels, H, W)``.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, hidden: int = 64) -> None:
        super().__init__()
        # A convolution is held for its parameters and their initialisation; it is never called.
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
        """Convolve ``x_BCHW`` with the offsets of ``hidden``, ``(B, hidden, H, W)``: the first half of ``offset``."""
        return deform_conv2d(x_BCHW, self._offset(hidden), self.conv.weight, self.conv.bias, padding=self.padding)

    def _offset(self, hidden: Tensor) -> Tensor:
        """``(B, 2K, H, W)``, in the type of the weights even under autocast.

        bfloat16 would round an offset of two pixels to a hundredth of one.
        """
        last = cast(nn.Conv2d, self.offset[2])
        if _half(hidden) is None:
            return cast(Tensor, last(hidden))
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, last(hidden.to(last.weight.dtype)))


def deform_branches(x_BCHW: Tensor, layers: Sequence[DeformConv2d]) -> list[Tensor]:
    """What each of the layers makes of one input; the first convolutions of their offsets read it in one pass."""
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
    """y(o, p) = sum over taps t and channels c of w(o, c, t) x(c, p + t + offset(t, p)) + bias(o).

    The same function as ``torchvision.ops.deform_conv2d`` with stride 1, dilation 1 and no modulation mask: bilinear,
    zero outside the input. ``offset`` is ``(B, 2K, h, w)`` in input pixels, (dy, dx) for each tap, taps row by row;
    the result is ``(B, O, h, w)`` in the offset's dtype, or in autocast's. Sampling acts on space and mixing on
    channels, so they commute: whichever of O and C is smaller is sampled. At whole-number positions the gradient of the
    offset is one of the two one-sided ones.
    """
    out, channels = weight_OCkk.shape[:2]
    # What is traced is plain operations: a compiler decides by itself what to compute twice.
    by_hand = torch.is_grad_enabled() and not torch.compiler.is_compiling() and not x_BCHW.is_meta
    if out > channels:
        total_BOhw = sample_then_mix(x_BCHW, weight_OCkk, offset, padding, forget=by_hand)
    elif by_hand and (channels <= _MOST_REMIXED or x_BCHW.shape[2] * x_BCHW.shape[3] > _LARGEST_KEPT):
        total_BOhw = cast(Tensor, MixThenSample.apply(*_autocast(x_BCHW, weight_OCkk), offset, padding))
    elif by_hand and _weighs_more(x_BCHW, weight_OCkk):
        total_BOhw = mix_in_place_then_sample(x_BCHW, weight_OCkk, offset, padding)
    else:
        total_BOhw = mix_then_sample(x_BCHW, weight_OCkk, offset, padding)
    if bias_O is not None:
        total_BOhw = total_BOhw + bias_O.view(1, -1, 1, 1)
    return total_BOhw.to(_half(x_BCHW) or offset.dtype)


def _weighs_more(x_BCHW: Tensor, weight_OCkk: Tensor) -> bool:
    """Whether a CPU would spend most of the time on the order of the weights."""
    positions = x_BCHW.shape[0] * x_BCHW.shape[2] * x_BCHW.shape[3]
    return x_BCHW.is_cpu and weight_OCkk.numel() >= _LEAST_IN_PLACE and positions <= _MOST_POSITIONS


def _autocast(x_BCHW: Tensor, weight_OCkk: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the type that autocast gives a convolution, which it does not look for in a backward pass of our own."""
    dtype = _half(x_BCHW)
    return (x_BCHW, weight_OCkk) if dtype is None else (x_BCHW.to(dtype), weight_OCkk.to(dtype))


def _half(x_BCHW: Tensor) -> torch.dtype | None:
    """The type that autocast computes in where ``x`` lies; None if it does not."""
    device = x_BCHW.device.type
    # Autocast knows no meta device and says so by an error.
    half = not x_BCHW.is_meta and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if half else None
