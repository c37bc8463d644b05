"""What an image takes on a device: measured, and predicted from what each branch of a decoder's enhancer adds.

The prediction takes the time of a network to be additive: that of its decoder with branches of the usual widths, and
for each branch what another width adds or saves, its share in the layers that read it included. So a space of five
branches with three widths needs 11 measurements in place of 243. It is centred on the usual widths because layers that
read all branches cost more than the sum of what each would cost alone: predicted from no branches at all, every wide
decoder was too cheap.
"""

import platform
import time
from collections.abc import Callable

import torch

from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..models.network_config import NetworkConfig, WidthsConfig

_WARM_UP = 2
_AT_LEAST = 5
_SECONDS = 0.2
_USUAL = WidthsConfig()


def measure_latency(network: MultitaskNetwork, size_HW: tuple[int, int], device: torch.device) -> float:
    """Milliseconds of one forward pass over one image, decoder included, in eval mode and fp32.

    The fastest of several passes: what the device can do, for everything else is other work on the same machine.
    The network moves to ``device`` and keeps its mode.
    """
    image_13HW = torch.zeros(1, 3, *size_HW, device=device)
    training = network.training
    network.to(device).eval()
    seconds: list[float] = []
    with torch.inference_mode():
        while len(seconds) < _WARM_UP + _AT_LEAST or sum(seconds) < _SECONDS:
            seconds.append(_timed(lambda: network(image_13HW), device))
    network.train(training)
    return 1000 * min(seconds[_WARM_UP:])


def measure_config(config: NetworkConfig, device: torch.device) -> float:
    """Milliseconds of one image through the network of ``config``, as ``measure_latency``; its weights are random."""
    bare = config.model_copy(update={"encoder": config.encoder.model_copy(update={"weights": "none"})})
    return measure_latency(build_network(bare), config.size, device)


def predict_latency(config: NetworkConfig, known: Callable[[NetworkConfig], float]) -> float:
    """The latency of ``config`` in the unit of ``known``, which is asked for one unusual width at a time."""
    centre, moved = _apart(config)
    usual = known(centre)
    return usual + sum(known(each) - usual for each in moved)


def device_name(device: torch.device) -> str:
    """What a latency holds for: the GPU by its name, or this host's CPU with so many threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} of {platform.node()}, {torch.get_num_threads()} threads"


def _apart(config: NetworkConfig) -> tuple[NetworkConfig, list[NetworkConfig]]:
    """The network with the usual widths, and with each of its own in their place. Only MNSA's decoder has branches."""
    own = config.decoder.widths if config.decoder.kind == "mnsa" else _USUAL
    moved = [_USUAL.model_copy(update={name: width}) for name, width in own if width != getattr(_USUAL, name)]
    return _with_widths(config, _USUAL), [_with_widths(config, each) for each in moved]


def _with_widths(config: NetworkConfig, widths: WidthsConfig) -> NetworkConfig:
    # Side heads run in training only: with and without them a network takes the same time.
    plain = config.decoder.model_copy(update={"widths": widths, "supervise": False})
    return config.model_copy(update={"decoder": plain})


def _timed(call: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
