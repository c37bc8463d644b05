"""A 3x3 convolution that runs as one matrix product for many channels on a small map.

Shapes: B batch, C input channels, O output channels, H W the map, P = H W, N = B P positions,
M = 9 C weights of an output, R outputs that are computed together.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .buffer_reuse import pool_for
from .dilated_conv import DilatedConv2d

# Measured forwards and backwards on a CPU: 3588 -> 2208 channels at 2 x 4 x 4 positions take 0.18 s
# instead of 0.78 s, 5544 -> 768 at 2 x 8 x 8 take 0.27 s instead of 0.62 s, 2016 -> 384 at 2 x 16 x
# 16 gain nothing.
_MAX_POSITIONS = 256
_MIN_WEIGHTS = 2**20
# Up to so many positions a gradient takes longer to write than to compute, even in float32.
_MAX_WRITE_BOUND_POSITIONS = 64
# Outputs whose half-precision gradients are computed together, so that they are still in the cache
# when they are widened.
_ROWS_PER_CHUNK = 128


class WideConv2d(DilatedConv2d):
    """A same-size 3x3 convolution with the parameters, initialisation and result of ``nn.Conv2d``.

    MNSA's deepest levels have more than two thousand channels on a map of a few positions. There a
    CPU's convolution spends its time on reordering a hundred million weights and on new memory for
    their gradient.
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve the map: ``(B, O, H, W)``."""
        positions = x_BCHW.shape[0] * x_BCHW.shape[2] * x_BCHW.shape[3]
        traced = torch.compiler.is_compiling() or not x_BCHW.is_cpu
        if traced or self.weight.numel() < _MIN_WEIGHTS or positions > _MAX_POSITIONS:
            return super().forward(x_BCHW)
        half = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if half else self.weight.dtype
        mixed_BOHW: Tensor = _UnfoldProduct.apply(x_BCHW, self.weight, dtype, int(self.dilation[0]))
        return mixed_BOHW if self.bias is None else mixed_BOHW + self.bias.to(mixed_BOHW.dtype).view(1, -1, 1, 1)


class _UnfoldProduct(torch.autograd.Function):
    """The product of the weights and the unfolded map.

    All products read the weights in memory order.
    """

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
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_columns_NM = wanted_ON.t() @ mixing_OM
            grad_columns_BMP = grad_columns_NM.view(shape[0], -1, grad_columns_NM.shape[1]).transpose(1, 2)
            folding = {"padding": ctx.dilation, "dilation": ctx.dilation}
            grad_x = F.fold(grad_columns_BMP, shape[2:], 3, **folding).to(dtype)
        if ctx.needs_input_grad[1]:
            grad_weight = ctx.kept.take(weight_shape, weight_dtype)
            _write_product(wanted_ON, columns_MN.t(), grad_weight.flatten(1))
        return grad_x, grad_weight, None, None


def _write_product(left_ON: Tensor, right_NM: Tensor, into_OM: Tensor) -> None:
    if left_ON.dtype == into_OM.dtype or left_ON.shape[1] <= _MAX_WRITE_BOUND_POSITIONS:
        torch.mm(left_ON.to(into_OM.dtype), right_NM.to(into_OM.dtype), out=into_OM)
        return
    half_RM = right_NM.new_empty(_ROWS_PER_CHUNK, into_OM.shape[1])
    for rows_RN, into_RM in zip(
        torch.split(left_ON, _ROWS_PER_CHUNK), torch.split(into_OM, _ROWS_PER_CHUNK), strict=True
    ):
        into_RM.copy_(torch.mm(rows_RN, right_NM, out=half_RM[: len(rows_RN)]))
