"""Deformable convolution, mixed then sampled, against torchvision's operator: seconds of a step, and agreement."""

from collections.abc import Callable

import torch
from _report import best_seconds, write_report
from torch import Tensor
from torchvision.ops import deform_conv2d as classical

from venation.models.deform import deform_conv2d

# Batch, channels in, channels out, side, kernel: branches of MNSA's enhancer, and one that keeps the channels.
SHAPES = ((8, 64, 64, 56, 3), (4, 96, 12, 112, 5), (4, 96, 6, 112, 3), (4, 384, 48, 28, 5))

Conv = Callable[..., Tensor]


def tensors(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Input, offsets (none at a whole number, where the gradient has two sides), weight and bias."""
    batch, channels, out, side, kernel = shape
    generator = torch.Generator().manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(batch, channels, side, side, generator=generator)
    offset = torch.rand(batch, 2 * kernel**2, side, side, generator=generator) * 0.8 + 0.1
    weight = torch.randn(out, channels, kernel, kernel, generator=generator) / (channels * kernel**2) ** 0.5
    given = (x, offset, weight, torch.zeros(out))
    return tuple(tensor.to(device).requires_grad_() for tensor in given)


def step(conv: Conv, given: tuple[Tensor, ...], kernel: int) -> tuple[Tensor, ...]:
    """One forward and backward pass: the output and every gradient."""
    output = conv(*given, padding=kernel // 2)
    return (output.detach(), *torch.autograd.grad(output.square().mean(), given))


def row(shape: tuple[int, ...]) -> dict[str, object]:
    """One line of the table; the difference is the largest of output and gradients, relative, in the Euclidean norm."""
    given, kernel = tensors(shape), shape[-1]
    pairs = zip(step(classical, given, kernel), step(deform_conv2d, given, kernel), strict=True)
    difference = max(float((a - b).norm() / a.norm()) for a, b in pairs)
    old = best_seconds(lambda: step(classical, given, kernel), repeats=1)
    new = best_seconds(lambda: step(deform_conv2d, given, kernel))
    batch, channels, out, side, _ = shape
    name = f"{batch} x {channels}->{out} @ {side}, k{kernel}"
    return {"shape": name, "torchvision_s": old, "venation_s": new, "ratio": old / new, "difference": difference}


if __name__ == "__main__":
    write_report("deform", [row(shape) for shape in SHAPES])
