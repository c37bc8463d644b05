"""Test-time flips: a network asked about an image and its mirror images, and what it says on the whole.

Shapes: B batch, N classes, C features, H W the image's size, h w the mask logits'.
"""

from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.data_config import DataConfig
from ..models.network import MultitaskNetwork, NetworkOutput
from .booster import Booster

# The dimensions of (B, C, H, W) to turn round: () leaves an image as it is.
Flip = tuple[int, ...]
AS_IS: tuple[Flip, ...] = ((),)
_ACROSS, _DOWN = 3, 2


class Answer(NamedTuple):
    """What a network says of a batch over all flips.

    ``probability_BN`` are the mean of the head's probabilities, ``mask_logits_B1hw`` the mean of the logits turned
    back; ``features`` are (B, C) for each flip, and ``plain`` is the whole output for the images as they are.
    """

    probability_BN: Tensor
    mask_logits_B1hw: Tensor | None
    features: tuple[Tensor, ...]
    plain: NetworkOutput

    def decision(self, booster: Booster | None) -> NDArray[np.float32]:
        """The class probabilities ``(B, N)`` that count: the booster's, as a mean over the flips, or the head's."""
        if booster is None:
            return self.probability_BN.cpu().numpy()
        said = [booster.predict(features_BC.float().cpu().numpy()) for features_BC in self.features]
        return np.mean(said, axis=0, dtype=np.float32) if len(said) > 1 else said[0]


def trained_flips(config: DataConfig) -> tuple[Flip, ...]:
    """The image as it is, then every combination of the flips that training used; a flip never seen may mislead."""
    used = [dim for dim, share in ((_ACROSS, config.hflip), (_DOWN, config.vflip)) if share > 0]
    return tuple(chain.from_iterable(combinations(used, number) for number in range(len(used) + 1)))


def ask(network: MultitaskNetwork, x_BCHW: Tensor, *, flips: tuple[Flip, ...] = AS_IS, segment: bool = True) -> Answer:
    """One pass of the network for each of ``flips``, the first of which is the image as it is; in the caller's mode."""
    outputs = [network(torch.flip(x_BCHW, flip) if flip else x_BCHW, segment=segment) for flip in flips]
    probabilities = [output.logits_BN.float().softmax(dim=1) for output in outputs]
    masks = [
        torch.flip(output.mask_logits_B1HW.float(), flip) if flip else output.mask_logits_B1HW.float()
        for output, flip in zip(outputs, flips, strict=True)
        if output.mask_logits_B1HW is not None
    ]
    return Answer(
        _mean(probabilities), _mean(masks) if masks else None, tuple(o.features_BC for o in outputs), outputs[0]
    )


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).mean(dim=0) if len(tensors) > 1 else tensors[0]
