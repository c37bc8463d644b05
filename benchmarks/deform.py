"""Compare deformable convolution, mixed then sampled, with torchvision's operator.

The table gives seconds per step and the largest difference.
"""

import statistics
from collections.abc import Callable
from typing import cast

import torch
from _report import best_seconds, write_report
from torch import Tensor
from torchvision.ops import deform_conv2d as classical

from venation.models.deform import deform_conv2d
from venation.models.sampling import MixThenSample, sample_then_mix

# Batch, input channels, output channels, side, kernel: branches of MNSA's enhancer, and one that
# keeps the channels.
SHAPES = ((8, 64, 64, 56, 3), (4, 96, 12, 112, 5), (4, 96, 6, 112, 3), (4, 384, 48, 28, 5))

# Output channels of a layer with 64 input channels, to compare the two orders.
OUTPUTS = (32, 48, 64, 80, 128)

CUDA = torch.cuda.is_available()

Conv = Callable[..., Tensor]


def tensors(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return input, offsets, weight and bias.

    No offset is a whole number, where the gradient has two values.
    """
    batch, channels, out, side, kernel = shape
    generator = torch.Generator().manual_seed(0)
    device = "cuda" if CUDA else "cpu"
    x = torch.randn(batch, channels, side, side, generator=generator)
    offset = torch.rand(batch, 2 * kernel**2, side, side, generator=generator) * 0.8 + 0.1
    weight = torch.randn(out, channels, kernel, kernel, generator=generator) / (channels * kernel**2) ** 0.5
    given = (x, offset, weight, torch.zeros(out))
    return tuple(tensor.to(device).requires_grad_() for tensor in given)


def step(conv: Conv, given: tuple[Tensor, ...], kernel: int) -> tuple[Tensor, ...]:
    """Run one forward and backward pass; return the output and every gradient."""
    output = conv(*given, padding=kernel // 2)
    return (output.detach(), *torch.autograd.grad(output.square().mean(), given))


def row(shape: tuple[int, ...]) -> dict[str, object]:
    """Return one line of the table.

    The difference is the largest of output and gradients, relative, in the Euclidean and the
    maximum norm. On a GPU each operator's peak memory beyond its inputs is added.
    """
    given, kernel = tensors(shape), shape[-1]
    pairs = zip(step(classical, given, kernel), step(deform_conv2d, given, kernel), strict=True)
    difference = max(float((a - b).norm(p) / a.norm(p)) for a, b in pairs for p in (2, float("inf")))
    repeats = 5 if CUDA else 2
    old = best_seconds(lambda: step(classical, given, kernel), repeats=repeats)
    new = best_seconds(lambda: step(deform_conv2d, given, kernel), repeats=repeats)
    batch, channels, out, side, _ = shape
    line: dict[str, object] = {"shape": f"{batch} x {channels}->{out} @ {side}, k{kernel}"}
    line |= {"torchvision_s": old, "venation_s": new, "ratio": old / new, "difference": difference}
    if CUDA:
        line["torchvision_mib"] = peak_mib(lambda: step(classical, given, kernel))
        line["venation_mib"] = peak_mib(lambda: step(deform_conv2d, given, kernel))
    return line


def order_row(out: int) -> dict[str, object]:
    """Time both orders of one layer of 64 channels; the layer chooses by these."""
    x, offset, weight, _ = tensors((8, 64, out, 56, 3))
    given = (x, weight, offset)
    orders: dict[str, Callable[[], Tensor]] = {
        "mix_first_s": lambda: cast(Tensor, MixThenSample.apply(*given, 1)),
        "sample_first_s": lambda: sample_then_mix(*given, 1, recompute=True),
    }
    timed = {
        name: best_seconds(lambda order=order: torch.autograd.grad(order().square().mean(), given), repeats=5)
        for name, order in orders.items()
    }
    return {"channels": f"64->{out}"} | timed


def peak_mib(run: Callable[[], object]) -> float:
    """Return the peak GPU memory of ``run`` in MiB, beyond the memory in use before."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


if __name__ == "__main__":
    write_report("deform-orders", [order_row(out) for out in OUTPUTS])
    rows = [row(shape) for shape in SHAPES]
    write_report("deform", rows)
    print(f"median ratio {statistics.median(cast(float, line['ratio']) for line in rows):.1f}")
