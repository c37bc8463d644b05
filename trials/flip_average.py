"""Test-time flips: average a network's outputs over an image and its mirror images.

Shapes: B batch, N classes, C features, H W the image's size, h w the size of the mask logits.
"""

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.finite import require_finite
from ..models.network import MultitaskNetwork, NetworkOutput
from .errors import is_out_of_memory
from .flips import NO_FLIPS, Booster, Flip, boosted


class FlipAverage(NamedTuple):
    """The network's output for a batch, averaged over all flips.

    ``probability_BN`` is the mean of the head's probabilities. ``mask_logits_B1hw`` is the mean of
    the logits, flipped back. ``features`` has a (B, C) tensor for each flip. ``unflipped`` is the
    whole output for the original images.
    """

    probability_BN: Tensor
    mask_logits_B1hw: Tensor | None
    features: tuple[Tensor, ...]
    unflipped: NetworkOutput

    def checked(self) -> Self:
        """Return this output. Raises UserError if its probabilities or masks are not finite."""
        parts = {"probabilities": self.probability_BN, "mask": self.mask_logits_B1hw}
        require_finite({name: part for name, part in parts.items() if part is not None}, "the network's answer")
        return self

    def class_probabilities(self, booster: Booster | None) -> NDArray[np.float32]:
        """Return probabilities ``(B, N)``: the booster's mean over the flips, or the head's."""
        if booster is None:
            return self.probability_BN.cpu().numpy()
        return boosted(booster, [features_BC.float().cpu().numpy() for features_BC in self.features])


def average_flips(
    network: MultitaskNetwork, x_BCHW: Tensor, *, flips: tuple[Flip, ...] = NO_FLIPS, segment: bool = True
) -> FlipAverage:
    """Run the network once for each flip and average the outputs.

    The first of ``flips`` must be the identity. The network keeps the caller's mode.
    """
    outputs = [network(torch.flip(x_BCHW, flip) if flip else x_BCHW, segment=segment) for flip in flips]
    probabilities = [output.logits_BN.float().softmax(dim=1) for output in outputs]
    masks = [
        torch.flip(output.mask_logits_B1HW.float(), flip) if flip else output.mask_logits_B1HW.float()
        for output, flip in zip(outputs, flips, strict=True)
        if output.mask_logits_B1HW is not None
    ]
    return FlipAverage(
        _mean(probabilities), _mean(masks) if masks else None, tuple(o.features_BC for o in outputs), outputs[0]
    )


def average_within_memory(
    network: MultitaskNetwork, x_BCHW: Tensor, *, flips: tuple[Flip, ...], segment: bool
) -> list[FlipAverage]:
    """Return the network's outputs for all images, in halves if memory does not hold the batch."""
    try:
        return [average_flips(network, x_BCHW, flips=flips, segment=segment)]
    except (RuntimeError, MemoryError) as error:
        if len(x_BCHW) == 1 or not is_out_of_memory(error):
            raise
    # Outside the except block: the traceback keeps the memory of the failed pass alive.
    halves = x_BCHW.tensor_split(2)
    return [output for half in halves for output in average_within_memory(network, half, flips=flips, segment=segment)]


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).mean(dim=0) if len(tensors) > 1 else tensors[0]
