"""Averages of the weights of a training: over its steps, and with the weights it started from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """The moving average of a module's weights and buffers over the steps of the optimiser.

    After update t, counted from 0, the average is d x average + (1 - d) x weights with d =
    min(``decay``, (1 + t) / (10 + t)): the warm start of TensorFlow's ExponentialMovingAverage,
    without which the initial weights would dominate a short training. BatchNorm's statistics are
    averaged as well, because those of the last step belong to the last weights. Counters are
    copied.

    ``tensors`` are the average by name, on the module's device, without frozen parameters. torch's
    AveragedModel is not used: it has a fixed decay, and a second module that would replace the
    trained one in every validation.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._module = module
        self._decay = decay
        self.updates = 0
        frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
        self.tensors = {name: tensor.clone() for name, tensor in module.state_dict().items() if name not in frozen}

    @torch.no_grad()
    def update(self) -> None:
        """Include the module's present weights."""
        share = min(self._decay, (1 + self.updates) / (10 + self.updates))
        present = self._module.state_dict()
        for name, tensor in self.tensors.items():
            if tensor.is_floating_point():
                tensor.lerp_(present[name], 1 - share)
            else:
                tensor.copy_(present[name])
        self.updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the module the average's values inside the block, and its own afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def copy(self) -> "WeightAverage":
        """Return a copy of the average for the same module."""
        copied = copy(self)
        copied.tensors = {name: tensor.clone() for name, tensor in self.tensors.items()}
        return copied

    def load(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Continue from an average that was saved after ``updates`` updates."""
        self.updates = updates
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        present = self._module.state_dict()
        for name, tensor in self.tensors.items():
            own = present[name].clone()
            present[name].copy_(tensor)
            tensor.copy_(own)


@contextmanager
def interpolated(module: nn.Module, start: Mapping[str, Tensor], share: float) -> Iterator[None]:
    """Give a module ``share`` of its weights and the rest of ``start`` inside the block.

    Afterwards it has its own again. This is WiSE-FT (Wortsman et al., arXiv 2109.01903): between a
    linear probe of pretrained features and the fine-tuned network, weights are often better than at
    either end. Counters stay.
    """
    present = module.state_dict()
    own = {name: present[name].clone() for name, tensor in start.items() if tensor.is_floating_point()}
    with torch.no_grad():
        for name, tensor in own.items():
            present[name].copy_(start[name].lerp(tensor, share))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in own.items():
                present[name].copy_(tensor)
