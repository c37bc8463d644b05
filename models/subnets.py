"""Narrower MNSA decoders as slices of a wide one: the same weights, fewer of them, and nothing copied that trains.

Shapes: B batch, C a level's channels, A the channels of all branches of the wide decoder's level, K those of them that
a slice keeps, D the coarser feature's channels, T transferred channels.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .decoders import MNSADecoder
from .enhancer import FeatureEnhancer
from .network_config import DecoderConfig
from .refinement_head import DetailDecoder
from .shared_maps import Handed, Shared, find_mnsa, outer_parts


class DecoderSlice:
    """The decoder of a narrower config with weights cut from a wide decoder's, which may lie behind wrappers.

    The first channels of each branch stay, the first of each skip compression, and of their consumers the weights that
    read them. Nothing of its own is stored: ``weights`` cuts anew from what the wide decoder holds, and gradients flow
    back to it. With all widths as they are nothing is cut, and the result equals the wide decoder's bit for bit.

    ``parameters`` is how many weights a decoder of this config has. A slice that is ``fed`` takes the shared maps of
    the wide decoder's run in place of its own projections and branches.

    Put the wide decoder on its device first. Raises ValueError for one that has no MNSA decoder, and for a config with
    a wider branch or of another structure.
    """

    def __init__(self, decoder: nn.Module, config: DecoderConfig, *, fed: bool = False) -> None:
        path, wide = find_mnsa(decoder)
        with torch.device("meta"):
            narrow = MNSADecoder(_in_channels(wide), config)
        self._levels = _match(wide, narrow)
        _check_structure(decoder, wide, narrow, config)
        self.parameters = _count(decoder) - _count(wide) + _count(narrow)
        self._fed = _feed(path, narrow, self._levels) if fed else {}
        # A tree like the decoder's, in which only the MNSA decoder is another one, and which holds no memory.
        memo: dict[int, object] = {id(wide): narrow}
        if fed:
            outer = {name: Handed(None) for name in outer_parts(decoder)}
            memo |= {id(decoder.get_submodule(name)): part for name, part in outer.items()}
            self._fed |= outer
        for tensor in (*decoder.parameters(), *decoder.buffers()):
            memo[id(tensor)] = _on_meta(tensor)
        self.module: nn.Module = copy.deepcopy(decoder, memo)
        # By name, looked up once: a slice is cut anew in every step.
        self._wide = {name: decoder.get_parameter(name) for name, _ in self.module.named_parameters()}
        self._buffers = {name: decoder.get_buffer(name) for name, _ in self.module.named_buffers()}
        self._cuts = {
            name: self._cut(name.removeprefix(path), tensor, self._wide[name])
            for name, tensor in self.module.named_parameters()
        }

    def weights(self) -> dict[str, Tensor]:
        """The parameters of the narrower decoder under its own names, cut from the wide one's as they are now."""
        return {name: _select(whole, self._cuts[name]) for name, whole in self._wide.items()}

    def buffers(self) -> dict[str, Tensor]:
        """Copies of the wide decoder's buffers, which no slice changes in width: the statistics of BatchNorm."""
        return {name: buffer.clone() for name, buffer in self._buffers.items()}

    def __call__(
        self,
        tensors: Mapping[str, Tensor],
        levels: Sequence[Tensor],
        image_B3HW: Tensor,
        shared: Shared | None = None,
    ) -> list[Tensor]:
        """What the narrower decoder with these weights and buffers says; BatchNorm changes the buffers in training.

        ``levels`` are the encoder's. A fed slice looks at ``shared`` in their place, and of the image at its size.
        """
        for name, part in self._fed.items():
            assert shared is not None, "a fed slice takes the maps of the wide decoder's run"
            part.take(shared.maps[name])
        try:
            return decode(self.module, levels, image_B3HW, tensors)
        finally:
            for part in self._fed.values():
                part.take(None)

    def _cut(self, name: str, narrow: Tensor, wide: Tensor) -> tuple[tuple[int, Tensor], ...]:
        """Along which dimensions to select what; nothing where the tensor stays whole."""
        room, place, *rest = [*name.split("."), "", ""]
        index: dict[int, Tensor] = {}
        if room == "enhancers":
            index = dict(enumerate(map(torch.arange, narrow.shape)))
        elif room == "transfers":
            index = {0: torch.arange(narrow.shape[0])}
            if narrow.ndim > 1:
                index[1] = self._levels[int(place)].kept_K
        elif room == "center" and place == "0" and narrow.ndim > 1:
            index = {1: self._levels[-1].skip()}
        elif room == "blocks" and rest[:2] == ["conv1", "weight"]:
            index = {1: torch.cat((self._levels[int(place)].skip(), self._levels[int(place)].after(wide.shape[1])))}
        elif room == "blocks" and rest[:2] == ["conv2", "weight"]:
            # A block's own feature, then what is transferred: the first of it.
            index = {1: torch.arange(narrow.shape[1])}
        cuts = tuple((dim, kept.to(wide.device)) for dim, kept in index.items() if len(kept) < wide.shape[dim])
        selected = [len(index[dim]) if dim in dict(cuts) else size for dim, size in enumerate(wide.shape)]
        if selected != list(narrow.shape):
            raise ValueError(f"`{name}` of shape {tuple(narrow.shape)} is no slice of {tuple(wide.shape)}")
        return cuts


def decode(
    decoder: nn.Module, levels: Sequence[Tensor], image_B3HW: Tensor, tensors: Mapping[str, Tensor] | None = None
) -> list[Tensor]:
    """Run a decoder, with ``tensors`` in place of its own weights and buffers if given: the mask's logits first."""
    inputs = (levels, image_B3HW) if isinstance(decoder, DetailDecoder) else (levels,)
    if tensors is None:
        outputs: list[Tensor] = decoder(*inputs)
    else:
        # No two names share a weight here, and to look for such costs as much as a small decoder's convolutions.
        outputs = functional_call(decoder, dict(tensors), inputs, tie_weights=False)
    return outputs


@dataclass(frozen=True)
class _Level:
    """One level of a narrower decoder: C, A, and which of the A branch channels it keeps."""

    channels: int
    extra: int
    kept_K: Tensor

    def skip(self) -> Tensor:
        """Of the skip, the level and its branches, what stays: ``(C + K,)``."""
        return torch.cat((torch.arange(self.channels), self.channels + self.kept_K))

    def after(self, wide: int) -> Tensor:
        """The D channels that come after the skip in a block whose wide form reads ``wide`` channels."""
        return torch.arange(self.channels + self.extra, wide)


def _match(wide: MNSADecoder, narrow: MNSADecoder) -> list[_Level]:
    levels = []
    for channels, whole, part in zip(wide.project.out_channels, wide.enhancers, narrow.enhancers, strict=True):
        assert isinstance(whole, FeatureEnhancer) and isinstance(part, FeatureEnhancer)
        sizes, own = _widths(whole), _widths(part)
        if any(size > sizes.get(name, 0) for name, size in own.items()):
            raise ValueError(f"branches {own} are no slice of {sizes}")
        kept, start = [torch.arange(0)], 0
        for name, size in sizes.items():
            kept.append(torch.arange(start, start + own.get(name, 0)))
            start += size
        levels.append(_Level(channels, whole.out_channels, torch.cat(kept)))
    return levels


def _check_structure(decoder: nn.Module, wide: MNSADecoder, narrow: MNSADecoder, config: DecoderConfig) -> None:
    """ValueError for a config with parts that the wide decoder has not, lacks, or runs in another way."""
    detail = decoder.head.in_channels if isinstance(decoder, DetailDecoder) else 0
    if (config.kind, config.detail) != ("mnsa", detail):
        raise ValueError(f"kind={config.kind} with detail={config.detail} is no slice of mnsa with detail={detail}")
    whole, own = dict(wide.named_modules()), dict(narrow.named_modules())
    # Branches may be left out, and with the last one of a level its transfer, which then is no convolution.
    differ = [name for name in whole.keys() ^ own.keys() if name in own or not name.startswith("enhancers.")]
    convolutions = {name: part for name, part in own.items() if name in whole and isinstance(part, nn.Conv2d)}
    differ += [name for name, part in convolutions.items() if _taps(whole[name]) != _taps(part)]
    if differ:
        raise ValueError(f"another structure is no slice of this decoder: `{min(differ)}` differs")


def _taps(module: nn.Module) -> tuple[object, ...]:
    """Where a convolution reads; nothing of other modules."""
    if not isinstance(module, nn.Conv2d):
        return ()
    return module.kernel_size, module.stride, module.padding, module.dilation


def _widths(enhancer: FeatureEnhancer) -> dict[str, int]:
    """Each branch's channels, in the order of their concatenation."""
    return {
        name: cast(nn.Conv2d, getattr(branch, "conv", branch)).out_channels
        for name, branch in enhancer.branches.items()
    }


def _in_channels(wide: MNSADecoder) -> tuple[int, ...]:
    """The channels of the encoder's levels that a decoder was built for."""
    layers = wide.project.layers
    if layers is None:
        return wide.project.out_channels
    return tuple(next(layer.parameters()).shape[1] for layer in layers)


def _feed(path: str, narrow: MNSADecoder, levels: Sequence[_Level]) -> "dict[str, Handed]":
    """Put what is handed over in the place of a decoder's projections and branches; by the names of these parts."""
    fed = {f"{path}enhancers.{place}": Handed(level.kept_K) for place, level in enumerate(levels)}
    narrow.enhancers = nn.ModuleList(fed.values())
    project = Handed(None)
    narrow.project = project  # type: ignore[assignment]
    return fed | {f"{path}project": project}


def _on_meta(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _select(tensor: Tensor, cuts: Sequence[tuple[int, Tensor]]) -> Tensor:
    for dim, kept in cuts:
        tensor = tensor.index_select(dim, kept)
    return tensor
