"""MNSA's adaptive feature enhancer: five parallel branches on one encoder level.

Shapes: B batch, C the level's channels, A the channels of all branches together, H W the level's
size.
"""

import math

import torch
from torch import Tensor, nn

from .deform import DeformConv2d, deform_branches
from .gate import mean_max
from .network_config import WidthsConfig
from .wide_conv import WideConv2d


def branch_channels(channels: int, width: float) -> int:
    """Return floor(width * channels), tolerant of rounding (0.29 * 100 is 28.999... in floats)."""
    return math.floor(width * channels + 1e-9)


class FeatureEnhancer(nn.Module):
    """Five branches with different receptive fields, concatenated (MNSA).

    The branches are deformable 3x3 and 5x5 convolutions, 3x3 convolutions with dilation 2 and 3,
    and a 1x1 convolution of mean and maximum over the channels.

    ``widths`` gives each branch's share of ``channels``, multiplied by ``factor``. A branch whose
    share rounds to zero is left out. ``deform_kernel`` and ``dilation`` change the branches
    ``deform5`` and ``atrous3`` but not their names. As in MNSA, branches have a bias and neither
    norm nor activation. ``out_channels`` is the actual sum A, possibly 0.
    """

    def __init__(
        self,
        channels: int,
        widths: WidthsConfig,
        *,
        factor: float = 1.0,
        deform_kernel: int = 5,
        dilation: int = 3,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleDict()
        self.out_channels = 0
        for name, width in widths:
            out = branch_channels(channels, width * factor)
            if out:
                self.branches[name] = _branch(name, channels, out, deform_kernel=deform_kernel, dilation=dilation)
                self.out_channels += out

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return all branches' outputs ``(B, A, H, W)``; zero channels if there is no branch."""
        if not self.branches:
            return x_BCHW[:, :0]
        deformable = {name: layer for name, layer in self.branches.items() if isinstance(layer, DeformConv2d)}
        outputs = dict(zip(deformable, deform_branches(x_BCHW, list(deformable.values())), strict=True))
        for name, branch in self.branches.items():
            if name not in outputs:
                outputs[name] = branch(mean_max(x_BCHW) if name == "meanmax" else x_BCHW)
        return torch.cat([outputs[name] for name in self.branches], dim=1)


def _branch(name: str, channels: int, out: int, *, deform_kernel: int, dilation: int) -> nn.Module:
    match name:
        case "deform3":
            return DeformConv2d(channels, out, 3)
        case "deform5":
            return DeformConv2d(channels, out, deform_kernel)
        case "atrous2":
            return WideConv2d(channels, out, dilation=2)
        case "atrous3":
            return WideConv2d(channels, out, dilation=dilation)
        case "meanmax":
            return nn.Conv2d(2, out, 1)
        case _:
            raise AssertionError(f"no branch named {name}")
