"""Compute the cost of a network without allocating it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..errors import UsageError
from .build import build_network
from .encoder import level_sizes
from .network_config import NetworkConfig


@dataclass(frozen=True)
class Cost:
    """Number of parameters, of trainable parameters, and of multiply-accumulates per image."""

    parameters: int
    trainable: int
    macs: int


def cost(config: NetworkConfig, *, joint: bool = False) -> Cost:
    """Return the cost of ``config`` at its image ``size``, without allocating or reading weights.

    A network with a decoder trains only the decoder, because its base is frozen: ``trainable``
    counts only that, unless label and mask are trained ``joint``. ``macs`` counts the convolutions
    and matrix products of one forward pass, decoder included. Interpolation counts as zero, and so
    does the sampling of deformable convolutions. Raises UsageError for an image size that the
    encoder does not take.
    """
    level_sizes(config.encoder, config.size)
    bare = config.model_copy(update={"encoder": config.encoder.model_copy(update={"weights": "none"})})
    with torch.device("meta"):
        network = build_network(bare).eval()
        image = torch.empty(1, config.channels, *config.size)
    if network.decoder is not None and not joint:
        network.freeze_base()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(image)
    return Cost(
        parameters=_count(network.parameters()),
        trainable=_count(p for p in network.parameters() if p.requires_grad),
        macs=counter.get_total_flops() // 2,
    )


def takes_size(config: NetworkConfig, size: tuple[int, int]) -> bool:
    """Tell whether a network that is built for its config's size also takes images of ``size``."""
    bare = config.model_copy(update={"encoder": config.encoder.model_copy(update={"weights": "none"})})
    with torch.device("meta"):
        network = build_network(bare).eval()
        image = torch.empty(1, config.channels, *size)
    try:
        with torch.no_grad():
            network(image)
    except (AssertionError, RuntimeError, UsageError):  # of timm, of torch, of a plug-in module
        return False
    return True


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
