"""Heat maps: where a network finds evidence for a class in the levels that it classifies from.

Shapes: B batch, K classes, C channels of a level, h w the size of a level, H W the finest source's.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..models.network import MultitaskNetwork

# Replaces zero in the geometric mean: enough to damp the other sources, too little to erase them.
_EPSILON = 1e-2


def class_heat(network: MultitaskNetwork, levels: Sequence[Tensor], class_B: Tensor) -> Tensor:
    """Return the heat map of each image's class, ``(B, H, W)``, combined over all sources.

    See ``source_heats`` for a single source.
    """
    return combine(source_heats(network, levels, class_B))


def source_heats(network: MultitaskNetwork, levels: Sequence[Tensor], class_B: Tensor) -> list[Tensor]:
    """Return the map ``(B, h, w)`` of every level that the classifier reads, with a peak of 1.

    A map is the sum over channels of ReLU(g_c h_c), where g_c is the mean over positions of the
    gradient of the class score (HERBS, section 9). It is zero where no position supports the class.
    The score is the logit; with a plug-in module it is the logarithm of the probability, because
    the gradient of the probability vanishes for images of which the network is sure. One backward
    pass serves the whole batch. The network must be in eval mode.
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
    """Return the maps, in 0..1, resized to the finest and combined by their geometric mean.

    Each map is raised by 0.01 before the mean, and the result is lowered by it, so that a zero in
    one source does not erase the others, as it would in a plain product. An image with a map of
    zeros gets the arithmetic mean.
    """
    if len(heats_Bhw) == 1:
        return heats_Bhw[0]
    size = max((tuple(heat.shape[-2:]) for heat in heats_Bhw), key=lambda side: side[0] * side[1])
    # Half-pixel centres, as in all other resizing.
    resized = [F.interpolate(heat[:, None], size, mode="bilinear", align_corners=False)[:, 0] for heat in heats_Bhw]
    heat_SBHW = torch.stack(resized)
    geometric_BHW = (heat_SBHW + _EPSILON).log().mean(dim=0).exp() - _EPSILON
    nonzero_B11 = (heat_SBHW.amax(dim=(2, 3)) > 0).all(dim=0)[:, None, None]
    return torch.where(nonzero_B11, geometric_BHW.clamp(min=0), heat_SBHW.mean(dim=0))


def _scaled(heat_Bhw: Tensor) -> Tensor:
    peak_B11 = heat_Bhw.amax(dim=(1, 2), keepdim=True)
    return heat_Bhw / torch.where(peak_B11 > 0, peak_B11, 1.0)
