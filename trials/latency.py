"""Measure the latency of a network, or predict it from the widths of its decoder's branches.

The prediction is additive: the time of the network with the default widths, plus the change that
each branch's width causes, its share in the layers that read it included. A space of five branches
with three widths then needs 11 measurements instead of 243. The prediction starts from the default
widths because layers that read all branches cost more than the sum of their costs for single
branches. A prediction that starts from no branches underestimates every wide decoder.
"""

import platform
import time
from collections.abc import Callable

import torch

from ..models.build import build_network
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from ..models.network_config import NetworkConfig, WidthsConfig

_WARM_UP = 2
_MIN_PASSES = 5
_MIN_SECONDS = 0.2
_DEFAULT_WIDTHS = WidthsConfig()


def measure_latency(network: MultitaskNetwork, size_HW: tuple[int, int], device: torch.device) -> float:
    """Return the milliseconds of one forward pass over one image, decoder included.

    The pass runs in eval mode and fp32. The result is the fastest of several passes: slower passes
    include other work on the machine. The network moves to ``device`` and keeps its mode.
    """
    image_1CHW = torch.zeros(1, network.encoder.channels, *size_HW, device=device)
    training = network.training
    place(network, device).eval()
    seconds: list[float] = []
    with torch.inference_mode():
        while len(seconds) < _WARM_UP + _MIN_PASSES or sum(seconds) < _MIN_SECONDS:
            seconds.append(_timed(lambda: network(image_1CHW), device))
    network.train(training)
    return 1000 * min(seconds[_WARM_UP:])


def measure_config(config: NetworkConfig, device: torch.device) -> float:
    """Return the latency in milliseconds of a network of ``config`` with random weights."""
    bare = config.model_copy(update={"encoder": config.encoder.model_copy(update={"weights": "none"})})
    return measure_latency(build_network(bare), config.size, device)


def predict_latency(config: NetworkConfig, latency_of: Callable[[NetworkConfig], float]) -> float:
    """Return the predicted latency of ``config`` in the unit of ``latency_of``.

    ``latency_of`` is called for configs in which at most one width differs from the default.
    """
    base, varied = _vary_one_width(config)
    base_latency = latency_of(base)
    return base_latency + sum(latency_of(each) - base_latency for each in varied)


def device_name(device: torch.device) -> str:
    """Return the name that latencies belong to: the GPU, or this host's CPU and its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} of {platform.node()}, {torch.get_num_threads()} threads"


def _vary_one_width(config: NetworkConfig) -> tuple[NetworkConfig, list[NetworkConfig]]:
    """Return the network with default widths, and one network for each of its other widths.

    Only the MNSA decoder has branches.
    """
    own = config.decoder.widths if config.decoder.kind == "mnsa" else _DEFAULT_WIDTHS
    varied = [
        _DEFAULT_WIDTHS.model_copy(update={name: width})
        for name, width in own
        if width != getattr(_DEFAULT_WIDTHS, name)
    ]
    return _with_widths(config, _DEFAULT_WIDTHS), [_with_widths(config, each) for each in varied]


def _with_widths(config: NetworkConfig, widths: WidthsConfig) -> NetworkConfig:
    # Side heads run in training only and do not change the latency.
    plain = config.decoder.model_copy(update={"widths": widths, "supervise": False})
    return config.model_copy(update={"decoder": plain})


def _timed(call: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
