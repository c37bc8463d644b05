"""Which mirror images a prediction is averaged over, and the booster's mean over them.

Shapes: B batch, N classes, C features.
"""

from collections.abc import Sequence
from itertools import chain, combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.data_config import DataConfig

Array = NDArray[np.float32]


class Booster(Protocol):
    """A classifier of a network's features: a trained booster, or its ONNX graph."""

    def predict(self, x_NC: Array, /) -> Array:
        """Return class probabilities ``(N, K)``."""


# The dimensions of (B, C, H, W) to flip: () is the original image.
Flip = tuple[int, ...]
NO_FLIPS: tuple[Flip, ...] = ((),)
_HORIZONTAL, _VERTICAL = 3, 2


def boosted(booster: Booster, features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the booster's mean probabilities ``(B, N)`` over the features ``(B, C)`` of flips."""
    probabilities = [booster.predict(features_BC) for features_BC in features]
    return np.mean(probabilities, axis=0, dtype=np.float32) if len(probabilities) > 1 else probabilities[0]


def trained_flips(config: DataConfig) -> tuple[Flip, ...]:
    """Return the identity and every combination of the flips that training used.

    A flip that training never used may mislead the network.
    """
    used = [dim for dim, share in ((_HORIZONTAL, config.hflip), (_VERTICAL, config.vflip)) if share > 0]
    return tuple(chain.from_iterable(combinations(used, number) for number in range(len(used) + 1)))
