"""Feature maps that a wide MNSA decoder computes once and shares with its subnets.

Shapes: K the branch channels that a subnet keeps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .decoders import MNSADecoder
from .pyramid import PyramidDecoder
from .refinement_head import DetailDecoder

Maps = Tensor | list[Tensor]


class SharedMaps:
    """The maps of a decoder that do not depend on the subnet, with every branch at full width.

    They are captured while the wide decoder runs, and reused by its subnets. Gradients stop at
    these maps: ``backward`` then propagates the sum from all decoders to the earlier weights, once
    for all.
    """

    def __init__(self) -> None:
        self.maps: dict[str, Maps] = {}
        self._captured: list[tuple[Tensor, Tensor]] = []

    def capture(self, name: str, output: Tensor | Sequence[Tensor]) -> Maps:
        """Store a part's output under its name, and return the output that its consumers read."""
        kept = self._leaf(output) if isinstance(output, Tensor) else [self._leaf(each) for each in output]
        self.maps[name] = kept
        return kept

    def _leaf(self, output: Tensor) -> Tensor:
        if not output.requires_grad:
            return output
        leaf = output.detach().requires_grad_()
        self._captured.append((output, leaf))
        return leaf

    def backward(self) -> None:
        """Propagate gradients from the maps to the weights before them.

        Runs in reverse order, because an earlier map may be an input of a later one.
        """
        for output, leaf in reversed(self._captured):
            if leaf.grad is not None:
                torch.autograd.backward(output, leaf.grad)


@contextmanager
def capture_shared_maps(decoder: nn.Module) -> Iterator[SharedMaps]:
    """Capture the maps that subnets share while ``decoder`` runs; the last run counts."""
    shared = SharedMaps()

    def hook(name: str) -> torch.utils.hooks.RemovableHandle:
        return decoder.get_submodule(name).register_forward_hook(lambda _, __, output: shared.capture(name, output))

    handles = [hook(name) for name in _shared_parts(decoder)]
    try:
        yield shared
    finally:
        for handle in handles:
            handle.remove()


class CachedPart(nn.Module):
    """Replacement for a part of a decoder that returns a stored map.

    Of a branch's map it returns the kept channels.
    """

    def __init__(self, kept_K: Tensor | None) -> None:
        super().__init__()
        self._kept_K = kept_K
        self._value: Maps | None = None

    def set_value(self, value: Maps | None) -> None:
        """Set the map that ``forward`` returns; None clears it."""
        self._value = value

    def forward(self, *_: object) -> Maps:
        """Return the stored map, or its kept channels; ignore the inputs."""
        assert self._value is not None
        if self._kept_K is None or not isinstance(self._value, Tensor) or len(self._kept_K) == self._value.shape[1]:
            return self._value
        return self._value.index_select(1, self._kept_K.to(self._value.device))


def find_mnsa_decoder(decoder: nn.Module) -> tuple[str, MNSADecoder]:
    """Return the MNSA decoder within ``decoder`` and the prefix of its weights' names.

    Raises ValueError if there is none.
    """
    for name, module in decoder.named_modules():
        if isinstance(module, MNSADecoder):
            return f"{name}." if name else "", module
    raise ValueError("only an MNSA decoder has widths to slice")


def _shared_parts(decoder: nn.Module) -> list[str]:
    """Return the names of the parts that no width changes, and of the enhancers.

    A subnet uses some channels of an enhancer's map.
    """
    path, wide = find_mnsa_decoder(decoder)
    return [*wrapper_parts(decoder), f"{path}project", *(f"{path}enhancers.{i}" for i in range(len(wide.enhancers)))]


def wrapper_parts(decoder: nn.Module) -> list[str]:
    """Return the names of the width-independent parts of the wrappers.

    These are the feature pyramid and the refinement head's image features.
    """
    parts = {PyramidDecoder: "pyramid", DetailDecoder: "image"}
    modules = [(name, parts[type(module)]) for name, module in decoder.named_modules() if type(module) in parts]
    return [f"{name}.{part}" if name else part for name, part in modules]
