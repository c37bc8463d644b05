"""Pyramids that add levels of positions to their neighbours (PIM section 3, HERBS section 1).

Shapes: B batch, C a level's channels, D the common width, S positions of a level,
R positions of the level that is added, h w a level's size.
"""

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

Size = tuple[int, int]
Step = tuple[int, int]


class LearnedMix(nn.Module):
    """A learned linear map from R to S positions with bias, shared by all channels.

    It fits one image size only, as in the published systems.
    """

    def __init__(self, source: Size, target: Size) -> None:
        super().__init__()
        self.matrix = nn.Linear(source[0] * source[1], target[0] * target[1])

    def forward(self, z_BRD: Tensor, source: Size, target: Size) -> Tensor:
        """Map positions ``(B, R, D)`` to ``(B, S, D)``; the sizes are fixed at construction."""
        mixed_BDS: Tensor = self.matrix(z_BRD.mT)
        return mixed_BDS.mT


class ResizeMix(nn.Module):
    """Bilinear resize to a finer size (half-pixel centres), adaptive average to a coarser one.

    Equal sizes pass unchanged.
    """

    def forward(self, z_BRD: Tensor, source: Size, target: Size) -> Tensor:
        """Resize positions ``(B, R, D)`` of size ``source`` to ``(B, S, D)`` of size ``target``."""
        if source == target:
            return z_BRD
        z_BDhw = z_BRD.mT.reshape(-1, z_BRD.shape[2], *source)
        if target[0] >= source[0] and target[1] >= source[1]:
            resized_BDhw = F.interpolate(z_BDhw, target, mode="bilinear", align_corners=False)
        else:
            resized_BDhw = F.adaptive_avg_pool2d(z_BDhw, target)
        return resized_BDhw.flatten(2).mT


class Pyramid(nn.Module):
    """A two-layer MLP per level to the common width, then the additions in ``steps``, in order.

    A step (source, target) resizes the source's positions to the target's size and adds them. No
    normalisation, no dropout, ReLU within the MLP; all layers have a bias. A Linear over positions
    is a 1x1 convolution over maps.
    """

    def __init__(
        self, channels: Sequence[int], width: int, *, steps: Sequence[Step], mixes: Iterable[nn.Module]
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(count, count), nn.ReLU(), nn.Linear(count, width)) for count in channels
        )
        self.steps = tuple(steps)
        self.mixes = nn.ModuleList(mixes)

    def forward(self, levels: Sequence[Tensor], sizes: Sequence[Size]) -> list[Tensor]:
        """Fuse levels ``(B, S, C)``, shallow to deep, of ``sizes`` into levels ``(B, S, D)``."""
        fused = [project(x_BSC) for project, x_BSC in zip(self.projections, levels, strict=True)]
        for (source, target), mix in zip(self.steps, self.mixes, strict=True):
            fused[target] = fused[target] + mix(fused[source], sizes[source], sizes[target])
        return fused


def top_down(channels: Sequence[int], sizes: Sequence[Size], width: int, *, learned: bool, pass_equal: bool) -> Pyramid:
    """Build the first pyramid: deepest to shallowest, each sum feeds the next (PIM section 3).

    With ``pass_equal`` a level of its neighbour's size is added unchanged (PIM); HERBS learns that
    map too.
    """
    steps = [(level + 1, level) for level in reversed(range(len(sizes) - 1))]
    return Pyramid(channels, width, steps=steps, mixes=_mixes(sizes, steps, learned=learned, pass_equal=pass_equal))


def bottom_up(sizes: Sequence[Size], width: int, *, learned: bool) -> Pyramid:
    """Build the second pyramid, on the first: shallowest to deepest (HERBS section 1)."""
    steps = [(level, level + 1) for level in range(len(sizes) - 1)]
    mixes = _mixes(sizes, steps, learned=learned, pass_equal=False)
    return Pyramid([width] * len(sizes), width, steps=steps, mixes=mixes)


def _mixes(sizes: Sequence[Size], steps: Sequence[Step], *, learned: bool, pass_equal: bool) -> list[nn.Module]:
    return [
        LearnedMix(sizes[source], sizes[target])
        if learned and not (pass_equal and sizes[source] == sizes[target])
        else ResizeMix()
        for source, target in steps
    ]
