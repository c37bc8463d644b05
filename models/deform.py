"""Deformable convolution that mixes channels before it samples.

Shapes: B batch, C input channels, O output channels, K = kernel * kernel taps, k taps of one kernel row, H W the
input's size, h w the output's.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        return deform_conv2d(x_BCHW, self.offset(x_BCHW), self.conv.weight, self.conv.bias, padding=self.padding)


def deform_conv2d(
    x_BCHW: Tensor, offset: Tensor, weight_OCkk: Tensor, bias_O: Tensor | None = None, *, padding: int = 0
) -> Tensor:
    """y(o, p) = sum over taps t and channels c of w(o, c, t) x(c, p + t + offset(t, p)) + bias(o).

    The same function as ``torchvision.ops.deform_conv2d`` with stride 1, dilation 1 and no modulation mask: bilinear,
    zero outside the input. ``offset`` is ``(B, 2K, h, w)`` in input pixels, (dy, dx) for each tap, taps row by row;
    the result is ``(B, O, h, w)`` in the offset's dtype. Sampling acts on space and mixing on channels, so they
    commute: whichever of O and C is smaller is sampled. At whole-number positions the gradient of the offset is one
    of the two one-sided ones.
    """
    kernel = weight_OCkk.shape[-1]
    grids = _grids(offset, kernel, padding, (x_BCHW.shape[-2], x_BCHW.shape[-1]))
    rows = _mix_then_sample if weight_OCkk.shape[0] <= weight_OCkk.shape[1] else _sample_then_mix
    # A row of taps at a time: the intermediates of all K at once would be k times as large.
    total_BOhw = rows(x_BCHW, weight_OCkk[:, :, 0], grids[0])
    for row in range(1, kernel):
        total_BOhw = total_BOhw + rows(x_BCHW, weight_OCkk[:, :, row], grids[row])
    if bias_O is not None:
        total_BOhw = total_BOhw + bias_O.view(1, -1, 1, 1)
    # Under autocast the offsets come from a convolution and carry the dtype that this one should have.
    return total_BOhw.to(offset.dtype)


def _mix_then_sample(x_BCHW: Tensor, weight_OCk: Tensor, grid_Bkhw2: Tensor) -> Tensor:
    batch, taps, height, width, _ = grid_Bkhw2.shape
    out = weight_OCk.shape[0]
    weight = weight_OCk.permute(2, 0, 1).reshape(taps * out, -1, 1, 1)
    mixed = F.conv2d(x_BCHW, weight).reshape(batch * taps, out, *x_BCHW.shape[-2:])
    return _sample(mixed, grid_Bkhw2.flatten(0, 1)).reshape(batch, taps, out, height, width).sum(1)


def _sample_then_mix(x_BCHW: Tensor, weight_OCk: Tensor, grid_Bkhw2: Tensor) -> Tensor:
    taps = [
        F.conv2d(_sample(x_BCHW, grid_Bkhw2[:, tap]).to(weight_OCk.dtype), weight_OCk[:, :, tap, None, None])
        for tap in range(grid_Bkhw2.shape[1])
    ]
    return torch.stack(taps).sum(0)


def _grids(offset: Tensor, kernel: int, padding: int, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Where to sample, for each row of taps: ``(B, k, h, w, 2)`` as ``grid_sample`` wants it (align_corners=False).

    At least float32 even under autocast: bfloat16 has no fractions of a pixel left beyond 128.
    """
    batch, _, height, width = offset.shape
    dtype = torch.promote_types(offset.dtype, torch.float32)
    moves = offset.to(dtype).view(batch, kernel, kernel, 2, height, width)
    base_y = _centres(kernel, height, padding, size[0], like=moves).view(kernel, 1, height, 1)
    base_x = _centres(kernel, width, padding, size[1], like=moves).view(1, kernel, 1, width)
    unit_x, unit_y = moves[:, :, :, 1] * (2 / size[1]) + base_x, moves[:, :, :, 0] * (2 / size[0]) + base_y
    return torch.stack((unit_x, unit_y), dim=-1).unbind(1)


def _centres(kernel: int, length: int, padding: int, side: int, *, like: Tensor) -> Tensor:
    """(2x + 1) / side - 1 for x = position + tap - padding: ``(kernel, length)``."""
    position = torch.arange(length, device=like.device, dtype=like.dtype)
    tap = torch.arange(kernel, device=like.device, dtype=like.dtype)
    return (2 * (position + tap.view(-1, 1) - padding) + 1) / side - 1


def _sample(x_BCHW: Tensor, grid_Bhw2: Tensor) -> Tensor:
    return F.grid_sample(x_BCHW.to(grid_Bhw2.dtype), grid_Bhw2, padding_mode="zeros", align_corners=False)
