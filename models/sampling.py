"""Both orders of a deformable convolution, a few taps at a time, and the backward pass of the one that pays.

Shapes: B batch, C input channels, O output channels, K = kernel * kernel taps, n taps of one chunk, H W the input's
size, h w the output's, N = B H W positions. Offsets are ``(B, 2K, h, w)``, weights ``(O, C, k, k)``.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .buffer_reuse import pool_for

# All taps at once while what is sampled of an image is this small (1 MiB): fewer calls; beyond, a row is as fast.
_SMALL = 2**18


def mix_then_sample(x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int) -> Tensor:
    """Every tap's 1x1 convolution C -> O, sampled where that tap looks, summed: ``(B, O, h, w)``, float32 at least."""
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
    """The same for many weights and few positions, on a CPU: all taps are mixed by the weights as they lie in memory.

    To bring the weights into the order of the taps and their gradient back takes five times as long as to mix. Half
    precision would only add passes over the weights: none is used here.
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


def sample_then_mix(x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int, *, forget: bool) -> Tensor:
    """The same in the classical order: C channels are sampled. ``forget`` samples again in the backward pass."""
    kernel, size = weight_OCkk.shape[-1], (x_BCHW.shape[2], x_BCHW.shape[3])

    def tap(x_BCHW: Tensor, weight_OC: Tensor, grid_Bhw2: Tensor) -> Tensor:
        return F.conv2d(_sample(x_BCHW, grid_Bhw2).to(weight_OC.dtype), weight_OC[:, :, None, None])

    total_BOhw: Tensor | None = None
    for index, weight_OC in enumerate(weight_OCkk.flatten(2).unbind(2)):
        given = (x_BCHW, weight_OC, _grid(offset, range(index, index + 1), kernel, padding, size))
        part_BOhw = checkpoint(tap, *given, use_reentrant=False, preserve_rng_state=False) if forget else tap(*given)
        total_BOhw = part_BOhw if total_BOhw is None else total_BOhw + part_BOhw
    assert total_BOhw is not None
    return total_BOhw


class MixThenSample(torch.autograd.Function):
    """``mix_then_sample`` that keeps nothing but its inputs: the backward pass mixes again, one chunk at a time.

    What autograd would keep, the mixed maps of all K taps, is K / 8 times the input at MNSA's width of an eighth.
    """

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OCkk: Tensor, offset: Tensor, padding: int) -> Tensor:
        """The sum over the taps, ``(B, O, h, w)``."""
        ctx.save_for_backward(x_BCHW, weight_OCkk, offset)
        ctx.padding = padding
        return mix_then_sample(x_BCHW, weight_OCkk, offset, padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of input, weight and offsets; the input's only where it is asked for."""
        x_BCHW, weight_OCkk, offset = ctx.saved_tensors
        batch, channels, height, width = x_BCHW.shape
        out, kernel = weight_OCkk.shape[0], weight_OCkk.shape[-1]
        x_BCN, grad_BOhw = x_BCHW.flatten(2), grads[0].contiguous()
        of_x_BCN = torch.zeros_like(x_BCN) if ctx.needs_input_grad[0] else None
        of_offset, of_weight = torch.empty_like(offset), torch.empty_like(weight_OCkk)
        for taps, mixing_MC in _chunks(weight_OCkk, (height, width)):
            number = len(taps)
            grid = _grid(offset, taps, kernel, ctx.padding, (height, width))
            mixed = (mixing_MC @ x_BCN).view(batch * number, out, height, width).to(grid.dtype)
            wanted = grad_BOhw[:, None].expand(-1, number, -1, -1, -1).flatten(0, 1)
            of_mixed, of_grid = _sample_backward(wanted, mixed, grid)
            of_mixed_BMN = of_mixed.view(batch, number * out, -1).to(x_BCHW.dtype)
            if of_x_BCN is not None:
                of_x_BCN.baddbmm_(mixing_MC.t().expand(batch, -1, -1), of_mixed_BMN)
            of_mixing = torch.bmm(of_mixed_BMN, x_BCN.transpose(1, 2)).sum(0).view(number, out, channels)
            of_weight.flatten(2)[:, :, taps.start : taps.stop] = of_mixing.permute(1, 2, 0)
            moved = of_grid.view(batch, number, *of_grid.shape[1:]).permute(0, 1, 4, 2, 3).flip(2)
            scale = moved.new_tensor((2 / height, 2 / width)).view(2, 1, 1)
            of_offset[:, 2 * taps.start : 2 * taps.stop] = (moved * scale).flatten(1, 2)
        of_x = None if of_x_BCN is None else of_x_BCN.view_as(x_BCHW)
        return of_x, of_weight, of_offset, None


class _MixInPlace(torch.autograd.Function):
    """Every tap's 1x1 convolution, ``(O, K, N)``: a product for each output, whose weights are ``(C, K)`` in memory."""

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
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = weight_OCkk.flatten(2).transpose(0, 1).flatten(1) @ grads[0].flatten(0, 1)
        if ctx.needs_input_grad[1]:
            of_weight = ctx.kept.take(weight_OCkk.shape, weight_OCkk.dtype)
            x_OCN = x_CN.expand(len(weight_OCkk), -1, -1)
            torch.bmm(x_OCN, grads[0].transpose(1, 2), out=of_weight.flatten(2))
        return of_x, of_weight


def _chunks(weight_OCkk: Tensor, size: tuple[int, int]) -> Iterator[tuple[range, Tensor]]:
    """Taps that are worked on together, and their weights, one tap's below the other's: ``(n O, C)``.

    The intermediates of all K taps at once would be k times as large as those of a row.
    """
    out, kernel = weight_OCkk.shape[0], weight_OCkk.shape[-1]
    number = _taps_at_once(out, kernel, size)
    # One split has one gradient; of slices each would have its own, as large as the whole.
    mixings = torch.split(weight_OCkk.flatten(2).permute(2, 0, 1).flatten(0, 1), number * out)
    return ((range(place * number, (place + 1) * number), mixing) for place, mixing in enumerate(mixings))


def _taps_at_once(out: int, kernel: int, size: tuple[int, int]) -> int:
    every = kernel * kernel
    return every if every * out * size[0] * size[1] <= _SMALL else kernel


def _grid(offset: Tensor, taps: range, kernel: int, padding: int, size: tuple[int, int]) -> Tensor:
    """Where to sample, ``(B n, h, w, 2)``, as ``grid_sample`` wants it (align_corners=False).

    (2x + 1) / side - 1 for x = position + tap - padding + offset. At least float32 even under autocast: bfloat16 has no
    fractions of a pixel left beyond 128. One rounding at the size of the side and one of the quotient are all that
    there is; a base in units, computed before the offset is added, would round three times.
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
        # Only the shape is asked for, which torch works out by hundreds of small operations.
        return grid_Bhw2.new_empty(*x_BCHW.shape[:2], *grid_Bhw2.shape[1:3])
    return F.grid_sample(x_BCHW.to(grid_Bhw2.dtype), grid_Bhw2, padding_mode="zeros", align_corners=False)


def _sample_backward(grad: Tensor, x_BCHW: Tensor, grid_Bhw2: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of ``_sample`` with bilinear (0) sampling, zeros (0) outside and corners not aligned."""
    both: tuple[Tensor, Tensor] = torch.ops.aten.grid_sampler_2d_backward(
        grad, x_BCHW, grid_Bhw2, 0, 0, False, [True, True]
    )
    return both
