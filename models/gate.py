"""The spatial attention gate of MGANet and XMNet, and its target under mask guidance.

Shapes: B batch, C channels, H W the feature map's (or mask's) size, h w the gate's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .network_config import Gate

# MGANet adds it to both sides of the division by the maximum.
_EPSILON = 1e-12


class SpatialGate(nn.Module):
    """Weight every position of a feature map by attention from its channel statistics.

    ``meanmax`` (MGANet): a = sigmoid(w1 mean_c + w2 max_c), two learned scalars, no bias. ``mean``
    (XMNet): a = sigmoid(mean_c), no parameters. The output 0.5 x + 0.5 a x multiplies every
    position by (1 + a) / 2, a factor between 0.5 and 1. ``none`` passes the map on and has no
    attention.
    """

    def __init__(self, kind: Gate) -> None:
        super().__init__()
        self.kind = kind
        self.weigh = nn.Conv2d(2, 1, 1, bias=False) if kind == "meanmax" else None

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weighted map and the attention ``(B, 1, H, W)`` in (0, 1).

        The attention is None without a gate.
        """
        if self.kind == "none":
            return x_BCHW, None
        score_B1HW = mean_max(x_BCHW) if self.weigh is not None else x_BCHW.mean(1, keepdim=True)
        if self.weigh is not None:
            score_B1HW = self.weigh(score_B1HW)
        attention_B1HW = torch.sigmoid(score_B1HW)
        return x_BCHW * (0.5 + 0.5 * attention_B1HW), attention_B1HW


def mean_max(x_BCHW: Tensor) -> Tensor:
    """Return mean and maximum over the channels, in this order: ``(B, 2, H, W)``."""
    return torch.cat((x_BCHW.mean(1, keepdim=True), x_BCHW.amax(1, keepdim=True)), dim=1)


def mask_target(mask_B1HW: Tensor, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the target of the attention under mask guidance (MGANet), and which images have one.

    The mask, floats in which every class above 0 is structure, is pooled to the gate's size and
    divided by its largest value. The target is ``(B, 1, h, w)`` in [0, 1]. The flags are ``(B,)``
    booleans: False, with a target of zeros, where the mask is empty. MGANet would divide epsilon by
    epsilon there and demand attention everywhere.
    """
    pooled_B1hw = F.adaptive_avg_pool2d((mask_B1HW > 0).to(mask_B1HW.dtype), size_hw)
    peak_B111 = pooled_B1hw.amax(dim=(1, 2, 3), keepdim=True)
    valid_B111 = peak_B111 > 0
    target_B1hw = (pooled_B1hw + _EPSILON) / (peak_B111 + _EPSILON)
    return torch.where(valid_B111, target_B1hw, 0.0), valid_B111.flatten()
