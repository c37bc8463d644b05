"""What a wide MNSA decoder and its slices have in common: computed once, caught, and handed to each of them.

Shapes: K the branch channels that a slice keeps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .decoders import MNSADecoder
from .pyramid import PyramidDecoder
from .refinement_head import DetailDecoder

Maps = Tensor | list[Tensor]


class Shared:
    """What of a decoder does not depend on the slice: the maps before its blocks, every branch at full width.

    Caught while the wide decoder runs, then handed to its slices. Where a gradient is to flow it stops at the maps;
    ``backward`` carries what all decoders left there on to the weights before them, once for all of them.
    """

    def __init__(self) -> None:
        self.maps: dict[str, Maps] = {}
        self._passed: list[tuple[Tensor, Tensor]] = []

    def catch(self, name: str, output: Tensor | Sequence[Tensor]) -> Maps:
        """Keep a part's output under its name; what its consumers are to see in its place."""
        kept = self._leaf(output) if isinstance(output, Tensor) else [self._leaf(each) for each in output]
        self.maps[name] = kept
        return kept

    def _leaf(self, output: Tensor) -> Tensor:
        if not output.requires_grad:
            return output
        leaf = output.detach().requires_grad_()
        self._passed.append((output, leaf))
        return leaf

    def backward(self) -> None:
        """From the caught maps to the weights before them, the last first: an earlier one may lie before it."""
        for output, leaf in reversed(self._passed):
            if leaf.grad is not None:
                torch.autograd.backward(output, leaf.grad)


@contextmanager
def shared_maps(decoder: nn.Module) -> Iterator[Shared]:
    """While this lasts, a run of ``decoder`` leaves here what its slices share; the last run counts."""
    shared = Shared()

    def hook(name: str) -> torch.utils.hooks.RemovableHandle:
        return decoder.get_submodule(name).register_forward_hook(lambda _, __, output: shared.catch(name, output))

    handles = [hook(name) for name in _shared_parts(decoder)]
    try:
        yield shared
    finally:
        for handle in handles:
            handle.remove()


class Handed(nn.Module):
    """Stands for a part of a decoder and says what was handed to it, of a branch's map the kept channels."""

    def __init__(self, kept_K: Tensor | None) -> None:
        super().__init__()
        self._kept_K = kept_K
        self._value: Maps | None = None

    def take(self, value: Maps | None) -> None:
        self._value = value

    def forward(self, *_: object) -> Maps:
        assert self._value is not None
        if self._kept_K is None or not isinstance(self._value, Tensor) or len(self._kept_K) == self._value.shape[1]:
            return self._value
        return self._value.index_select(1, self._kept_K.to(self._value.device))


def find_mnsa(decoder: nn.Module) -> tuple[str, MNSADecoder]:
    """The MNSA decoder within ``decoder``, and what its weights' names begin with there; ValueError if it has none."""
    for name, module in decoder.named_modules():
        if isinstance(module, MNSADecoder):
            return f"{name}." if name else "", module
    raise ValueError("only an MNSA decoder has widths to slice")


def _shared_parts(decoder: nn.Module) -> list[str]:
    """The parts of a decoder that no width changes, and the enhancers, whose maps a slice keeps a part of."""
    path, wide = find_mnsa(decoder)
    return [*outer_parts(decoder), f"{path}project", *(f"{path}enhancers.{i}" for i in range(len(wide.enhancers)))]


def outer_parts(decoder: nn.Module) -> list[str]:
    """Those of the wrappers: what the pyramid makes of the encoder's levels, and what the image says of itself."""
    parts = {PyramidDecoder: "pyramid", DetailDecoder: "image"}
    modules = [(name, parts[type(module)]) for name, module in decoder.named_modules() if type(module) in parts]
    return [f"{name}.{part}" if name else part for name, part in modules]
