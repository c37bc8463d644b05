"""A 3x3 convolution that is a plain matrix product where its map is small and its channels are many.

Shapes: B batch, C input channels, O output channels, H W the map, P = H W, N = B P positions,
M = 9 C weights of an output, R outputs worked on together.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .buffer_reuse import pool_for

# Measured forwards and backwards on a CPU: 3588 -> 2208 channels at 2 x 4 x 4 positions take 0.18 s in place of 0.78 s,
# 5544 -> 768 at 2 x 8 x 8 take 0.27 s in place of 0.62 s, 2016 -> 384 at 2 x 16 x 16 gain nothing.
_MOST_POSITIONS = 256
_LEAST_WEIGHTS = 2**20
# From so few positions a gradient takes longer to write than to compute, in single precision too.
_FEW_POSITIONS = 64
# Outputs whose gradients are computed in half precision at once, so that they are still in the cache when widened.
_ROWS = 128


class WideConv2d(nn.Conv2d):
    """A 3x3 convolution that keeps the map's size, with the parameters, the start and the result of ``nn.Conv2d``.

    MNSA's deepest levels have more than two thousand channels on a map of a few positions. There a CPU's convolution
    spends its time on bringing a hundred million weights into its own order and back, and then on new memory for
    their gradient.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """``(B, O, H, W)``."""
        positions = x_BCHW.shape[0] * x_BCHW.shape[2] * x_BCHW.shape[3]
        traced = torch.compiler.is_compiling() or not x_BCHW.is_cpu
        if traced or self.weight.numel() < _LEAST_WEIGHTS or positions > _MOST_POSITIONS:
            return super().forward(x_BCHW)
        half = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if half else self.weight.dtype
        mixed_BOHW: Tensor = _Product.apply(x_BCHW, self.weight, dtype, int(self.dilation[0]))
        return mixed_BOHW if self.bias is None else mixed_BOHW + self.bias.to(mixed_BOHW.dtype).view(1, -1, 1, 1)


class _Product(torch.autograd.Function):
    """The product of weights and unfolded map. Of the products with the weights none reads them against their order."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OCkk: Tensor, dtype: torch.dtype, dilation: int) -> Tensor:
        batch, _, height, width = x_BCHW.shape
        columns_BMP = F.unfold(x_BCHW.to(dtype), 3, padding=dilation, dilation=dilation)
        columns_MN = columns_BMP.transpose(0, 1).flatten(1)
        mixing_OM, kept = weight_OCkk.flatten(1), pool_for(weight_OCkk)
        if mixing_OM.dtype != dtype:
            mixing_OM = kept.take(mixing_OM.shape, dtype).copy_(mixing_OM)
        ctx.save_for_backward(columns_MN, mixing_OM)
        ctx.x, ctx.weight = (x_BCHW.shape, x_BCHW.dtype), (weight_OCkk.shape, weight_OCkk.dtype)
        ctx.dilation, ctx.kept = dilation, kept
        return (mixing_OM @ columns_MN).view(-1, batch, height, width).transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        columns_MN, mixing_OM = ctx.saved_tensors
        (shape, dtype), (weight_shape, weight_dtype) = ctx.x, ctx.weight
        wanted_ON = grads[0].transpose(0, 1).reshape(mixing_OM.shape[0], -1).to(mixing_OM.dtype)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_columns_NM = wanted_ON.t() @ mixing_OM
            of_columns_BMP = of_columns_NM.view(shape[0], -1, of_columns_NM.shape[1]).transpose(1, 2)
            folding = {"padding": ctx.dilation, "dilation": ctx.dilation}
            of_x = F.fold(of_columns_BMP, shape[2:], 3, **folding).to(dtype)
        if ctx.needs_input_grad[1]:
            of_weight = ctx.kept.take(weight_shape, weight_dtype)
            _write_product(wanted_ON, columns_MN.t(), of_weight.flatten(1))
        return of_x, of_weight, None, None


def _write_product(left_ON: Tensor, right_NM: Tensor, into_OM: Tensor) -> None:
    if left_ON.dtype == into_OM.dtype or left_ON.shape[1] <= _FEW_POSITIONS:
        torch.mm(left_ON.to(into_OM.dtype), right_NM.to(into_OM.dtype), out=into_OM)
        return
    half_RM = right_NM.new_empty(_ROWS, into_OM.shape[1])
    for rows_RN, into_RM in zip(torch.split(left_ON, _ROWS), torch.split(into_OM, _ROWS), strict=True):
        into_RM.copy_(torch.mm(rows_RN, right_NM, out=half_RM[: len(rows_RN)]))
