"""Narrower MNSA decoders as subnets of a wide one, which share its weights.

Shapes: B batch, C a level's channels, A the channels of all branches of the wide decoder's level,
K those of them that a subnet keeps, D the coarser feature's channels, T transferred channels.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .decoders import MNSADecoder
from .enhancer import FeatureEnhancer
from .network_config import DecoderConfig
from .refinement_head import DetailDecoder
from .run_decoder import run_decoder
from .shared_maps import CachedPart, SharedMaps, find_mnsa_decoder, wrapper_parts


class DecoderSubnet:
    """The decoder of a narrower config, with weights cut from a wide decoder's.

    The wide decoder may be inside wrappers. The subnet keeps the first channels of each branch and
    of each skip compression, and the weights of their consumers that read them. It stores no
    weights: ``weights`` cuts them from the wide decoder's current ones, and gradients flow back to
    it. At full width nothing is cut, and the result equals the wide decoder's bit for bit.

    ``parameters`` is the number of weights of a decoder of this config. With ``reuse_maps`` the
    subnet reads the shared maps of the wide decoder's run instead of its own projections and
    branches.

    Move the wide decoder to its device first. Raises ValueError for one without an MNSA decoder,
    and for a config with a wider branch or another structure.
    """

    def __init__(self, decoder: nn.Module, config: DecoderConfig, *, reuse_maps: bool = False) -> None:
        path, wide = find_mnsa_decoder(decoder)
        with torch.device("meta"):
            narrow = MNSADecoder(_in_channels(wide), config)
        self._levels = _match(wide, narrow)
        _check_structure(decoder, wide, narrow, config)
        self.parameters = _count(decoder) - _count(wide) + _count(narrow)
        self._cached_parts = _replace_with_cached(path, narrow, self._levels) if reuse_maps else {}
        # A copy of the decoder's module tree without memory, in which only the MNSA decoder
        # differs.
        memo: dict[int, object] = {id(wide): narrow}
        if reuse_maps:
            outer = {name: CachedPart(None) for name in wrapper_parts(decoder)}
            memo |= {id(decoder.get_submodule(name)): part for name, part in outer.items()}
            self._cached_parts |= outer
        for tensor in (*decoder.parameters(), *decoder.buffers()):
            memo[id(tensor)] = _on_meta(tensor)
        self.module: nn.Module = copy.deepcopy(decoder, memo)
        # Looked up once: the subnet is cut again in every step.
        self._wide = {name: decoder.get_parameter(name) for name, _ in self.module.named_parameters()}
        self._buffers = {name: decoder.get_buffer(name) for name, _ in self.module.named_buffers()}
        self._cuts = {
            name: self._cut(name.removeprefix(path), tensor, self._wide[name])
            for name, tensor in self.module.named_parameters()
        }

    def weights(self) -> dict[str, Tensor]:
        """Return the subnet's parameters by name, cut from the wide decoder's current ones."""
        return {name: _select(whole, self._cuts[name]) for name, whole in self._wide.items()}

    def buffers(self) -> dict[str, Tensor]:
        """Return copies of the wide decoder's buffers.

        These are BatchNorm statistics, whose width is the same in all subnets.
        """
        return {name: buffer.clone() for name, buffer in self._buffers.items()}

    def __call__(
        self,
        tensors: Mapping[str, Tensor],
        levels: Sequence[Tensor],
        image_BCHW: Tensor,
        shared: SharedMaps | None = None,
    ) -> list[Tensor]:
        """Run the subnet with these weights and buffers.

        In training, BatchNorm updates the buffers. ``levels`` are the encoder's. With
        ``reuse_maps`` the subnet reads ``shared`` instead, and of the image only its size.
        """
        for name, part in self._cached_parts.items():
            assert shared is not None, "with reuse_maps a subnet needs the maps of the wide decoder's run"
            part.set_value(shared.maps[name])
        try:
            return run_decoder(self.module, levels, image_BCHW, tensors)
        finally:
            for part in self._cached_parts.values():
                part.set_value(None)

    def _cut(self, name: str, narrow: Tensor, wide: Tensor) -> tuple[tuple[int, Tensor], ...]:
        """Return (dimension, kept indices) pairs that cut ``wide``; empty if it stays whole."""
        part, place, *rest = [*name.split("."), "", ""]
        index: dict[int, Tensor] = {}
        if part == "enhancers":
            index = dict(enumerate(map(torch.arange, narrow.shape)))
        elif part == "transfers":
            index = {0: torch.arange(narrow.shape[0])}
            if narrow.ndim > 1:
                index[1] = self._levels[int(place)].kept_K
        elif part == "center" and place == "0" and narrow.ndim > 1:
            index = {1: self._levels[-1].skip()}
        elif part == "blocks" and rest[:2] == ["conv1", "weight"]:
            index = {1: torch.cat((self._levels[int(place)].skip(), self._levels[int(place)].after(wide.shape[1])))}
        elif part == "blocks" and rest[:2] == ["conv2", "weight"]:
            # A block's own feature comes first, then the transferred channels; the first of them
            # stay.
            index = {1: torch.arange(narrow.shape[1])}
        cuts = tuple((dim, kept.to(wide.device)) for dim, kept in index.items() if len(kept) < wide.shape[dim])
        selected = [len(index[dim]) if dim in dict(cuts) else size for dim, size in enumerate(wide.shape)]
        if selected != list(narrow.shape):
            raise ValueError(f"`{name}` of shape {tuple(narrow.shape)} cannot be cut from {tuple(wide.shape)}")
        return cuts


@dataclass(frozen=True)
class _Level:
    """One level of a subnet: C, A, and the kept ones of the A branch channels."""

    channels: int
    extra: int
    kept_K: Tensor

    def skip(self) -> Tensor:
        """Return the kept channels of the skip, the level and its branches: ``(C + K,)``."""
        return torch.cat((torch.arange(self.channels), self.channels + self.kept_K))

    def after(self, wide: int) -> Tensor:
        """Return the D channels after the skip in a block that reads ``wide`` channels."""
        return torch.arange(self.channels + self.extra, wide)


def _match(wide: MNSADecoder, narrow: MNSADecoder) -> list[_Level]:
    levels = []
    for channels, whole, part in zip(wide.project.out_channels, wide.enhancers, narrow.enhancers, strict=True):
        assert isinstance(whole, FeatureEnhancer) and isinstance(part, FeatureEnhancer)
        sizes, own = _widths(whole), _widths(part)
        if any(size > sizes.get(name, 0) for name, size in own.items()):
            raise ValueError(f"branches {own} cannot be cut from {sizes}")
        kept, start = [torch.arange(0)], 0
        for name, size in sizes.items():
            kept.append(torch.arange(start, start + own.get(name, 0)))
            start += size
        levels.append(_Level(channels, whole.out_channels, torch.cat(kept)))
    return levels


def _check_structure(decoder: nn.Module, wide: MNSADecoder, narrow: MNSADecoder, config: DecoderConfig) -> None:
    """Raise ValueError if the config differs from the wide decoder in more than width."""
    detail = decoder.head.in_channels if isinstance(decoder, DetailDecoder) else 0
    if (config.kind, config.detail) != ("mnsa", detail):
        raise ValueError(f"kind={config.kind} with detail={config.detail} cannot be cut from mnsa with detail={detail}")
    whole, own = dict(wide.named_modules()), dict(narrow.named_modules())
    # A subnet may lack branches. A level that lacks all has no transfer convolution either.
    differ = [name for name in whole.keys() ^ own.keys() if name in own or not name.startswith("enhancers.")]
    convolutions = {name: part for name, part in own.items() if name in whole and isinstance(part, nn.Conv2d)}
    differ += [name for name, part in convolutions.items() if _geometry(whole[name]) != _geometry(part)]
    if differ:
        raise ValueError(f"a config of another structure cannot be cut from this decoder: `{min(differ)}` differs")


def _geometry(module: nn.Module) -> tuple[object, ...]:
    """Return the geometry of a convolution; empty for other modules."""
    if not isinstance(module, nn.Conv2d):
        return ()
    return module.kernel_size, module.stride, module.padding, module.dilation


def _widths(enhancer: FeatureEnhancer) -> dict[str, int]:
    """Return each branch's channels, in the order of their concatenation."""
    return {
        name: cast(nn.Conv2d, getattr(branch, "conv", branch)).out_channels
        for name, branch in enhancer.branches.items()
    }


def _in_channels(wide: MNSADecoder) -> tuple[int, ...]:
    """Return the channels of the encoder levels that a decoder was built for."""
    layers = wide.project.layers
    if layers is None:
        return wide.project.out_channels
    return tuple(next(layer.parameters()).shape[1] for layer in layers)


def _replace_with_cached(path: str, narrow: MNSADecoder, levels: Sequence[_Level]) -> "dict[str, CachedPart]":
    """Replace a decoder's projections and branches by cached parts, and return these by name."""
    cached = {f"{path}enhancers.{place}": CachedPart(level.kept_K) for place, level in enumerate(levels)}
    narrow.enhancers = nn.ModuleList(cached.values())
    project = CachedPart(None)
    narrow.project = project  # type: ignore[assignment]
    return cached | {f"{path}project": project}


def _on_meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _select(tensor: Tensor, cuts: Sequence[tuple[int, Tensor]]) -> Tensor:
    for dim, kept in cuts:
        tensor = tensor.index_select(dim, kept)
    return tensor
