"""U-Net 3+ as published, and the variant in XMNet's code.

Shapes: B batch, C a source's channels, H W this level's size, h w the source's.

Both fuse, at every level, one branch of 64 channels from each of all n levels. See ``decoders`` for
levels and outputs.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .decoders import Projection, SideHeads, gate_levels, level_gates, resize_like
from .network_config import DecoderConfig

_BRANCH = 64


class UNet3pDecoder(nn.Module):
    """U-Net 3+ (Huang et al. 2020, arXiv 2004.08790) with XMNet's gates on its skips.

    Level l reads its own and the shallower encoder levels, max-pooled to its size, and the deeper
    decoder levels, upsampled. The deepest decoder level is the deepest encoder level. Each source
    passes a 3x3 convolution to 64 channels, BatchNorm and ReLU. Their concatenation of 64 n
    channels passes another such block of equal width.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig) -> None:
        super().__init__()
        self.project = Projection(channels, config.channels)
        channels = self.project.out_channels
        fused = _BRANCH * len(channels)
        self.gates = level_gates(len(channels), config.gate_from)
        decoded = (*(fused for _ in channels[:-1]), channels[-1])
        self.nodes = nn.ModuleList(
            _Node((*channels[: level + 1], *decoded[level + 1 :]), level) for level in range(len(channels) - 1)
        )
        self.head = _conv(fused, config.maps)
        self.sides = SideHeads(decoded[1:], config)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits ``(B, K, H1, W1)`` at the first level's size, then any side outputs.

        A side output has its level's size.
        """
        skips = gate_levels(self.gates, self.project(levels))
        decoded = list(skips)
        for level in reversed(range(len(skips) - 1)):
            decoded[level] = self.nodes[level]([*skips[: level + 1], *decoded[level + 1 :]])
        return [self.head(decoded[0]), *self.sides(decoded[1:])]


class UNet3pReferenceDecoder(nn.Module):
    """U-Net 3+ in XMNet's code (section 5.3): every deeper decoder level is a single channel.

    Branches are bare 3x3 convolutions to 64 channels, then max-pooled (3x3) or upsampled to the
    level's size. They read the encoder's levels, with one exception: the next deeper branch reads
    the next deeper decoder level. A 3x3 convolution fuses them to one channel, with BatchNorm and
    ReLU except at the first level. The reference also contains a convolution of the deepest level
    whose output is unused, 9 C C + C dead parameters; it is left out here.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig) -> None:
        super().__init__()
        self.project = Projection(channels, config.channels)
        channels = self.project.out_channels
        self.gates = level_gates(len(channels), config.gate_from)
        self.nodes = nn.ModuleList(
            _ReferenceNode([1 if index == level + 1 else c for index, c in enumerate(channels)], level, config.maps)
            for level in range(len(channels))
        )
        self.sides = SideHeads([1 for _ in channels[1:]], config)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits ``(B, K, H1, W1)`` at the first level's size, then any side outputs.

        A side output has its level's size.
        """
        skips = gate_levels(self.gates, self.project(levels))
        decoded: list[Tensor] = []
        for level in reversed(range(len(skips))):
            decoded.insert(0, self.nodes[level]([*skips[: level + 1], *decoded[:1], *skips[level + 2 :]]))
        return [decoded[0], *self.sides(decoded[1:])]


class _Node(nn.Module):
    """One level of UNet3pDecoder: resize all sources, reduce each to 64 channels, fuse them."""

    def __init__(self, channels: Sequence[int], level: int) -> None:
        super().__init__()
        self.level = level
        self.branches = nn.ModuleList(_block(c, _BRANCH) for c in channels)
        self.fuse = _block(_BRANCH * len(channels), _BRANCH * len(channels))

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        like = sources[self.level]
        sampled = [_sample(source, like, self.level - index, _pool) for index, source in enumerate(sources)]
        views = [branch(source) for branch, source in zip(self.branches, sampled, strict=True)]
        return self.fuse(torch.cat(views, dim=1))


class _ReferenceNode(nn.Module):
    """One level of UNet3pReferenceDecoder: convolve all sources, resize the results, fuse them."""

    def __init__(self, channels: Sequence[int], level: int, maps: int) -> None:
        super().__init__()
        self.level = level
        self.branches = nn.ModuleList(_conv(c, _BRANCH) for c in channels)
        fused = _BRANCH * len(channels)
        self.fuse = _block(fused, 1) if level else _conv(fused, maps)

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        views = [branch(source) for branch, source in zip(self.branches, sources, strict=True)]
        like = views[self.level]
        sampled = [_sample(view, like, self.level - index, _overlapping_pool) for index, view in enumerate(views)]
        return self.fuse(torch.cat(sampled, dim=1))


def _sample(x_BChw: Tensor, like_BCHW: Tensor, halvings: int, pool: Callable[[Tensor, int], Tensor]) -> Tensor:
    if halvings > 0:
        x_BChw = pool(x_BChw, 2**halvings)
    # Pooling rounds odd sides up; an encoder may round them down.
    return x_BChw if x_BChw.shape[-2:] == like_BCHW.shape[-2:] else resize_like(x_BChw, like_BCHW)


def _pool(x_BChw: Tensor, factor: int) -> Tensor:
    return F.max_pool2d(x_BChw, factor, ceil_mode=True)


def _overlapping_pool(x_BChw: Tensor, factor: int) -> Tensor:
    return F.max_pool2d(x_BChw, 3, stride=factor, padding=1)


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_conv(in_channels, out_channels), nn.BatchNorm2d(out_channels), nn.ReLU())


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)
