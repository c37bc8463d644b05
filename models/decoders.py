"""Decoders that turn encoder levels into the logits of a mask.

Shapes: B batch, C a level's channels, D the coarser feature's, K maps of logits (1, or one for the
background and for each mask class), H W this level's size, h w the coarser one's.

A decoder returns a list. The mask's logits come first, at the size of the shallowest level. Under
deep supervision and in training the deeper side outputs follow, level 2 first. Levels are ordered
shallow to deep and numbered from 1, as in XMNet and MNSA. There may be any number of levels from
two up.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import UsageError
from .enhancer import FeatureEnhancer
from .gate import SpatialGate
from .network_config import DecoderConfig
from .wide_conv import WideConv2d

# The value of DecoderConfig.gate_from for "no gated level".
_NO_GATE = 6


class UNetDecoder(nn.Module):
    """XMNet's U-Net: skips gated from level ``gate_from`` on, two convolutions with ReLU per level.

    It has no BatchNorm.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig) -> None:
        super().__init__()
        self.project = Projection(channels, config.channels)
        channels = self.project.out_channels
        self.gates = level_gates(len(channels), config.gate_from)
        self.center = WideConv2d(channels[-1], channels[-1])
        outs = (channels[0], *channels)
        self.blocks = nn.ModuleList(_UNetBlock(2 * c, outs[level]) for level, c in enumerate(channels))
        self.head = WideConv2d(channels[0], config.maps)
        self.sides = SideHeads(channels[:-1], config)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the logits ``(B, K, H1, W1)`` at the first level's size, then any side outputs.

        The side output of level l has the size of level l - 1, because a block's output is
        upsampled first (XMNet section 5.4).
        """
        skips = gate_levels(self.gates, self.project(levels))
        x_BDHW = self.center(skips[-1])
        outputs: list[Tensor] = []
        for level in reversed(range(len(skips))):
            x_BDHW = self.blocks[level](skips[level], x_BDHW)
            if level:
                x_BDHW = resize_like(x_BDHW, skips[level - 1])
                outputs.insert(0, x_BDHW)
        return [self.head(x_BDHW), *self.sides(outputs)]


class MNSADecoder(nn.Module):
    """MNSA's decoder: enhanced skips, and a compressed copy of the enhancement in every block.

    Each skip is the encoder level joined with the output of a feature enhancer. A block reads the
    skip, and a 1x1 compression of the enhancer's output before its second convolution.

    The published form has two linear convolutions at the bottom; the efficient form (``channels`` >
    0) has one. All input widths follow from the branches as built, so widths that do not divide a
    level's channels work too.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig) -> None:
        super().__init__()
        self.project = Projection(channels, config.channels)
        channels = self.project.out_channels
        factors = [factor for _, factor in config.levels]
        enhancers = [
            FeatureEnhancer(
                c,
                config.widths,
                factor=factors[level] if level < len(factors) else 1.0,
                deform_kernel=config.deform_kernel,
                dilation=config.dilation,
            )
            for level, c in enumerate(channels)
        ]
        extras = [enhancer.out_channels for enhancer in enhancers]
        transfers = [max(1, math.floor(extra * config.transfer + 1e-9)) if extra else 0 for extra in extras]
        self.enhancers = nn.ModuleList(enhancers)
        self.transfers = nn.ModuleList(
            nn.Conv2d(extra, transfer, 1) if extra else nn.Identity()
            for extra, transfer in zip(extras, transfers, strict=True)
        )
        deep = channels[-1]
        self.center = nn.Sequential(WideConv2d(deep + extras[-1], deep))
        if not config.channels:
            self.center.append(WideConv2d(deep, deep))
        outs = (channels[0], *channels)
        self.blocks = nn.ModuleList(
            _MNSABlock(2 * c + extra, transfer, outs[level])
            for level, (c, extra, transfer) in enumerate(zip(channels, extras, transfers, strict=True))
        )
        self.head = WideConv2d(channels[0], config.maps)
        self.sides = SideHeads(channels[:-1], config)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return logits ``(B, K, H1, W1)`` at the first level's size, then any side outputs.

        Side outputs are as UNetDecoder's.
        """
        levels = self.project(levels)
        x_BDHW: Tensor | None = None
        outputs: list[Tensor] = []
        for level in reversed(range(len(levels))):
            extra_BAHW = self.enhancers[level](levels[level])
            skip_BCHW = torch.cat((levels[level], extra_BAHW), dim=1)
            x_BDHW = self.center(skip_BCHW) if x_BDHW is None else x_BDHW
            x_BDHW = self.blocks[level](skip_BCHW, x_BDHW, self.transfers[level](extra_BAHW))
            if level:
                x_BDHW = resize_like(x_BDHW, levels[level - 1])
                outputs.insert(0, x_BDHW)
        return [self.head(x_BDHW), *self.sides(outputs)]


class Projection(nn.Module):
    """1x1 convolution, BatchNorm and ReLU to at most ``limit`` channels per level.

    ``limit`` 0 passes the levels on unchanged. Raises UsageError for fewer than two levels.
    """

    def __init__(self, channels: Sequence[int], limit: int) -> None:
        super().__init__()
        if len(channels) < 2:
            raise UsageError(f"a decoder needs at least 2 encoder levels, got {len(channels)}: choose another encoder")
        self.out_channels = tuple(min(c, limit) if limit else c for c in channels)
        self.layers = nn.ModuleList(_projection(c, min(c, limit)) for c in channels) if limit else None

    def forward(self, levels: Sequence[Tensor]) -> Sequence[Tensor]:
        """Project the levels, each to ``(B, out_channels[i], H, W)``."""
        if self.layers is None:
            return levels
        return [layer(level) for layer, level in zip(self.layers, levels, strict=True)]


class SideHeads(nn.Module):
    """Deep supervision: a 1x1 convolution on each deeper decoder output; none if not ``supervise``.

    XMNet takes the mean over the channels as logits (section 5.4). The mean of a rectified map is
    never below zero, so it cannot predict background; a convolution can.
    """

    def __init__(self, channels: Sequence[int], config: DecoderConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(c, config.maps, 1) for c in channels if config.supervise)

    def forward(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Return logits ``(B, K, H, W)`` per output in training, else an empty list."""
        if not self.training or not self.heads:
            return []
        return [head(output) for head, output in zip(self.heads, outputs, strict=True)]


def level_gates(count: int, gate_from: int) -> nn.ModuleList:
    """Build a gate per level: mean-max from ``gate_from`` on, else none (XMNet section 5.3)."""
    gated = (gate_from < _NO_GATE and level >= gate_from for level in range(1, count + 1))
    return nn.ModuleList(SpatialGate("meanmax" if gate else "none") for gate in gated)


def gate_levels(gates: nn.ModuleList, levels: Sequence[Tensor]) -> list[Tensor]:
    """Return the levels, each weighted by its gate; shapes do not change."""
    return [gate(level)[0] for gate, level in zip(gates, levels, strict=True)]


def resize_like(x_BDhw: Tensor, like_BCHW: Tensor) -> Tensor:
    """Resize ``x`` to the size of ``like``, bilinear with aligned corners: ``(B, D, H, W)``.

    The papers upsample by exactly 2. Odd image sides make levels that are not exact doubles, so the
    other map's size decides here.
    """
    return F.interpolate(x_BDhw, like_BCHW.shape[-2:], mode="bilinear", align_corners=True)


class _UNetBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = WideConv2d(in_channels, out_channels)
        self.conv2 = WideConv2d(out_channels, out_channels)

    def forward(self, skip_BCHW: Tensor, coarse_BDHW: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(torch.cat((skip_BCHW, coarse_BDHW), dim=1)))))


class _MNSABlock(nn.Module):
    def __init__(self, in_channels: int, transfer: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = WideConv2d(in_channels, out_channels)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = WideConv2d(out_channels + transfer, out_channels)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, skip_BCHW: Tensor, coarse_BDHW: Tensor, transfer_BTHW: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(torch.cat((skip_BCHW, coarse_BDHW), dim=1))))
        return F.relu(self.norm2(self.conv2(torch.cat((x, transfer_BTHW), dim=1))))


def _projection(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU())
