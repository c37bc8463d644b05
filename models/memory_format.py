"""The order in which a device's convolutions read weights and feature maps fastest."""

from typing import TypeVar

import torch
from torch import nn

from .deform import DeformConv2d
from .dilated_conv import keep_float32
from .wide_conv import WideConv2d

# Their own products read the weights in the usual order.
_OWN_ORDER = (DeformConv2d, WideConv2d)

CPU = torch.device("cpu")

Module = TypeVar("Module", bound=nn.Module)


# Weights that are made in inference mode could not be trained afterwards.
@torch.inference_mode(False)
def place(network: Module, device: torch.device) -> Module:
    """Move a network to a device, in place, with the memory format that suits it; return it.

    On a CPU, weights of convolutions are ``channels_last``, and feature maps follow them: a step of
    EfficientNet-Lite0 takes two thirds of the time (docs/reference/training.md). Names, shapes and
    values do not change, and results only by rounding. Other devices keep the usual order, in which
    they were measured. Call it before the optimiser is built.
    """
    network.to(device)
    keep_float32(network)
    order_weights(network, torch.channels_last if device.type == "cpu" else torch.contiguous_format)
    return network


def order_weights(module: nn.Module, memory_format: torch.memory_format) -> None:
    """Give the weights of convolutions a memory format, unless they have an order of their own."""
    if isinstance(module, _OWN_ORDER):
        return
    for parameter in module.parameters(recurse=False):
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)
    for child in module.children():
        order_weights(child, memory_format)
