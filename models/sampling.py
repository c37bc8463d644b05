"""The two orders of a deformable convolution, a few taps at a time.

Shapes: B batch, C input channels, O output channels, K = kernel * kernel taps, n taps of one chunk,
H W the input's size, h w the output's, N = B H W positions. Offsets are ``(B, 2K, h, w)``,
weights ``(O, C, k, k)``.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .buffer_reuse import pool_for

# Up to this many sampled values per image (1 MiB) all taps run at once, which needs fewer calls.
# Above it, one row of taps at a time is as fast.
_MAX_ELEMENTS_AT_ONCE = 2**18


def mix_then_sample(x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int) -> Tensor:
    """Apply every tap's 1x1 convolution C -> O, sample at that tap, and sum over the taps.

    Returns ``(B, O, h, w)``, at least float32.
    """
    total_BOhw: Tensor | None = None
    out, size = weight_OCkk.shape[0], (x_BCHW.shape[2], x_BCHW.shape[3])
    for taps, mixing_MC in _chunks(weight_OCkk, size):
        mixed = F.conv2d(x_BCHW, mixing_MC[:, :, None, None]).reshape(-1, out, *size)
        sampled = _sample(mixed, _grid(offset, taps, weight_OCkk.shape[-1], padding, size))
        part_BOhw = sampled.view(x_BCHW.shape[0], len(taps), *sampled.shape[1:]).sum(1)
        total_BOhw = part_BOhw if total_BOhw is None else total_BOhw + part_BOhw
    assert total_BOhw is not None
    return total_BOhw


def mix_in_place_then_sample(x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int) -> Tensor:
    """Mix all taps without reordering the weights, then sample; for many weights and few positions.

    The result is that of ``mix_then_sample``, on a CPU. Reordering the weights by taps, and their
    gradient back, takes five times as long as the product. Half precision would only add passes
    over the weights, so it is not used.
    """
    batch, _, *size = x_BCHW.shape
    out, _, kernel, _ = weight_OCkk.shape
    x_CN = x_BCHW.transpose(0, 1).flatten(1).to(weight_OCkk.dtype)
    mixed_OKN = cast(Tensor, _MixInPlace.apply(x_CN, weight_OCkk))
    total_BOhw: Tensor | None = None
    taps_at_once = _taps_at_once(out, kernel, (size[0], size[1]))
    for place, part_OnN in enumerate(torch.split(mixed_OKN, taps_at_once, dim=1)):
        taps = range(place * taps_at_once, (place + 1) * taps_at_once)
        mixed = part_OnN.reshape(out, len(taps), batch, *size).permute(2, 1, 0, 3, 4).flatten(0, 1)
        sampled = _sample(mixed, _grid(offset, taps, kernel, padding, (size[0], size[1])))
        part_BOhw = sampled.view(batch, len(taps), *sampled.shape[1:]).sum(1)
        total_BOhw = part_BOhw if total_BOhw is None else total_BOhw + part_BOhw
    assert total_BOhw is not None
    return total_BOhw


def sample_then_mix(x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int, *, recompute: bool) -> Tensor:
    """Sample C channels at every tap, then mix them: the classical order, with the same result.

    With ``recompute`` the backward pass samples again instead of storing the samples.
    """
    kernel, size = weight_OCkk.shape[-1], (x_BCHW.shape[2], x_BCHW.shape[3])

    def tap(x_BCHW: Tensor, weight_OC: Tensor, grid_Bhw2: Tensor) -> Tensor:
        return F.conv2d(_sample(x_BCHW, grid_Bhw2).to(weight_OC.dtype), weight_OC[:, :, None, None])

    total_BOhw: Tensor | None = None
    for index, weight_OC in enumerate(weight_OCkk.flatten(2).unbind(2)):
        given = (x_BCHW, weight_OC, _grid(offset, range(index, index + 1), kernel, padding, size))
        part_BOhw = checkpoint(tap, *given, use_reentrant=False, preserve_rng_state=False) if recompute else tap(*given)
        total_BOhw = part_BOhw if total_BOhw is None else total_BOhw + part_BOhw
    assert total_BOhw is not None
    return total_BOhw


class MixThenSample(torch.autograd.Function):
    """``mix_then_sample`` that stores only its inputs; the backward pass mixes again.

    Autograd would store the mixed maps of all K taps: K / 8 times the input at MNSA's width of 1/8.
    The backward pass runs one chunk of taps at a time.
    """

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int) -> Tensor:
        """Return the sum over the taps, ``(B, O, h, w)``."""
        ctx.save_for_backward(x_BCHW, weight_OCkk, offset)
        ctx.padding = padding
        return mix_then_sample(x_BCHW, weight_OCkk, offset, padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of input, weight and offsets; the input's only if it is needed."""
        x_BCHW, weight_OCkk, offset = ctx.saved_tensors
        batch, channels, height, width = x_BCHW.shape
        out, kernel = weight_OCkk.shape[0], weight_OCkk.shape[-1]
        x_BCN, grad_BOhw = x_BCHW.flatten(2), grads[0].contiguous()
        grad_x_BCN = torch.zeros_like(x_BCN) if ctx.needs_input_grad[0] else None
        grad_offset, grad_weight = torch.empty_like(offset), torch.empty_like(weight_OCkk)
        for taps, mixing_MC in _chunks(weight_OCkk, (height, width)):
            number = len(taps)
            grid = _grid(offset, taps, kernel, ctx.padding, (height, width))
            mixed = (mixing_MC @ x_BCN).view(batch * number, out, height, width).to(grid.dtype)
            wanted = grad_BOhw[:, None].expand(-1, number, -1, -1, -1).flatten(0, 1)
            grad_mixed, grad_grid = _sample_backward(wanted, mixed, grid)
            grad_mixed_BMN = grad_mixed.view(batch, number * out, -1).to(x_BCHW.dtype)
            if grad_x_BCN is not None:
                grad_x_BCN.baddbmm_(mixing_MC.t().expand(batch, -1, -1), grad_mixed_BMN)
            grad_mixing = torch.bmm(grad_mixed_BMN, x_BCN.transpose(1, 2)).sum(0).view(number, out, channels)
            grad_weight.flatten(2)[:, :, taps.start : taps.stop] = grad_mixing.permute(1, 2, 0)
            moved = grad_grid.view(batch, number, *grad_grid.shape[1:]).permute(0, 1, 4, 2, 3).flip(2)
            scale = moved.new_tensor((2 / height, 2 / width)).view(2, 1, 1)
            grad_offset[:, 2 * taps.start : 2 * taps.stop] = (moved * scale).flatten(1, 2)
        grad_x = None if grad_x_BCN is None else grad_x_BCN.view_as(x_BCHW)
        return grad_x, grad_weight, grad_offset, None


class _MixInPlace(torch.autograd.Function):
    """Every tap's 1x1 convolution, ``(O, K, N)``: one product per output.

    In memory the weights of an output are ``(C, K)``.
    """

    @staticmethod
    def forward(ctx: Any, x_CN: Tensor, weight_OCkk: Tensor) -> Tensor:
        ctx.save_for_backward(x_CN, weight_OCkk)
        ctx.kept = pool_for(weight_OCkk)
        with torch.autocast("cpu", enabled=False):
            return torch.bmm(weight_OCkk.flatten(2).transpose(1, 2), x_CN.expand(len(weight_OCkk), -1, -1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_CN, weight_OCkk = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = weight_OCkk.flatten(2).transpose(0, 1).flatten(1) @ grads[0].flatten(0, 1)
        if ctx.needs_input_grad[1]:
            grad_weight = ctx.kept.take(weight_OCkk.shape, weight_OCkk.dtype)
            x_OCN = x_CN.expand(len(weight_OCkk), -1, -1)
            torch.bmm(x_OCN, grads[0].transpose(1, 2), out=grad_weight.flatten(2))
        return grad_x, grad_weight


def _chunks(weight_OCkk: Tensor, size: tuple[int, int]) -> Iterator[tuple[range, Tensor]]:
    """Yield taps that run together, and their weights ``(n O, C)``, tap after tap.

    Intermediates of all K taps at once would be k times as large as those of a row.
    """
    out, kernel = weight_OCkk.shape[0], weight_OCkk.shape[-1]
    number = _taps_at_once(out, kernel, size)
    # A split has one gradient; each slice would have its own gradient, as large as the whole.
    mixings = torch.split(weight_OCkk.flatten(2).permute(2, 0, 1).flatten(0, 1), number * out)
    return ((range(place * number, (place + 1) * number), mixing) for place, mixing in enumerate(mixings))


def _taps_at_once(out: int, kernel: int, size: tuple[int, int]) -> int:
    every = kernel * kernel
    return every if every * out * size[0] * size[1] <= _MAX_ELEMENTS_AT_ONCE else kernel


def _grid(offset: Tensor, taps: range, kernel: int, padding: int, size: tuple[int, int]) -> Tensor:
    """Return where to sample, ``(B n, h, w, 2)``, for ``grid_sample`` with align_corners=False.

    (2x + 1) / side - 1 for x = position + tap - padding + offset. The dtype is at least float32
    even under autocast: above 128, bfloat16 cannot represent fractions of a pixel. There is one
    rounding at the size of the side and one in the quotient. Scaling to grid units before adding
    the offset would round three times.
    """
    height, width = offset.shape[-2:]
    dtype = torch.promote_types(offset.dtype, torch.float32)
    moves = offset[:, 2 * taps.start : 2 * taps.stop].to(dtype)
    tap = torch.arange(taps.start, taps.stop, device=offset.device)
    rows = torch.arange(height, device=offset.device) + (tap // kernel - padding)[:, None]
    columns = torch.arange(width, device=offset.device) + (tap % kernel - padding)[:, None]
    y, x = moves[:, 0::2] + rows[:, :, None].to(dtype), moves[:, 1::2] + columns[:, None, :].to(dtype)
    unit = ((x + 0.5) / (size[1] / 2) - 1, (y + 0.5) / (size[0] / 2) - 1)
    return torch.stack(unit, dim=-1).flatten(0, 1)


def _sample(x_BCHW: Tensor, grid_Bhw2: Tensor) -> Tensor:
    if x_BCHW.is_meta and not torch.is_grad_enabled():
        # Only the shape matters on the meta device; torch computes it in hundreds of small
        # operations.
        return grid_Bhw2.new_empty(*x_BCHW.shape[:2], *grid_Bhw2.shape[1:3])
    return F.grid_sample(x_BCHW.to(grid_Bhw2.dtype), grid_Bhw2, padding_mode="zeros", align_corners=False)


def _sample_backward(grad: Tensor, x_BCHW: Tensor, grid_Bhw2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of ``_sample``: bilinear (0), zeros outside (0), corners not aligned."""
    both: tuple[Tensor, Tensor] = torch.ops.aten.grid_sampler_2d_backward(
        grad, x_BCHW, grid_Bhw2, 0, 0, False, [True, True]
    )
    return both
