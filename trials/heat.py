"""Heat maps: where the levels that a network classifies from speak for a class.

Shapes: B batch, K classes, C a level's channels, h w a level's size, H W the finest source's.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.network import MultitaskNetwork

# What a source that is cold somewhere is taken for there: enough to damp the others, too little to erase them.
_EPSILON = 1e-2


def class_heat(network: MultitaskNetwork, levels: Sequence[Tensor], class_B: Tensor) -> Tensor:
    """Where the network sees the class of each image: all sources combined, ``(B, H, W)``; see ``source_heats``."""
    return combine(source_heats(network, levels, class_B))


def source_heats(network: MultitaskNetwork, levels: Sequence[Tensor], class_B: Tensor) -> list[Tensor]:
    """The map of every level that the classification reads, ``(B, h, w)``, each divided by its own largest value.

    A map is the sum over channels of ReLU(g_c h_c), where g_c is the mean over positions of the class score's gradient
    (HERBS, section 9); zero everywhere where nothing speaks for the class. The score is the logit, with a plug-in
    module the logarithm of the probability: the gradient of the probability itself vanishes for the very images that
    the network is sure of. One backward pass for the whole batch; the network must be in eval mode.
    """
    leaves = [level.detach().float().requires_grad_(True) for level in levels]
    with torch.enable_grad():
        score = network.classify(leaves).logits_BN.gather(1, class_B[:, None]).sum()
        gradients = torch.autograd.grad(score, leaves, allow_unused=True)
    return [
        _scaled(F.relu(gradient.mean(dim=(2, 3), keepdim=True) * leaf.detach()).sum(dim=1))
        for leaf, gradient in zip(leaves, gradients, strict=True)
        if gradient is not None
    ]


def combine(heats_Bhw: Sequence[Tensor]) -> Tensor:
    """The maps, in 0..1, at the finest one's size as one: their geometric mean, which is warm where all are.

    Every map is raised by 0.01 for the mean and the result lowered again, so that one source's zero is not the end of
    it, unlike a plain product; an image for which some map is zero everywhere gets the arithmetic mean.
    """
    if len(heats_Bhw) == 1:
        return heats_Bhw[0]
    size = max((tuple(heat.shape[-2:]) for heat in heats_Bhw), key=lambda side: side[0] * side[1])
    # Half-pixel centres, as everywhere.
    resized = [F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False)[:, 0] for heat in heats_Bhw]
    heat_SBHW = torch.stack(resized)
    geometric_BHW = (heat_SBHW + _EPSILON).log().mean(dim=0).exp() - _EPSILON
    speaks_B11 = (heat_SBHW.amax(dim=(2, 3)) > 0).all(dim=0)[:, None, None]
    return torch.where(speaks_B11, geometric_BHW.clamp(min=0), heat_SBHW.mean(dim=0))


def _scaled(heat_Bhw: Tensor) -> Tensor:
    peak_B11 = heat_Bhw.amax(dim=(1, 2), keepdim=True)
    return heat_Bhw / torch.where(peak_B11 > 0, peak_B11, 1.0)
