"""The interface between predictions and the network: torch or onnxruntime runs it.

Shapes: B batch, N classes, C features, K maps of mask logits, H W the input, h w a map of it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..models.finite import require_finite
from .flips import Flip

Array = NDArray[np.float32]
# Returns the heat maps (B, h, w) of the class of each image, (B,).
HeatOf = Callable[[NDArray[np.int64]], Array]


class Outputs(NamedTuple):
    """A network's answers for a batch, means over its flips; None for what was not asked for.

    ``probability_BN`` is that of the network's own head. ``features`` has a (B, C) array for each
    flip. Heat and ranks of selected positions, level by level, are those of the original images.
    """

    probability_BN: Array
    features: tuple[Array, ...]
    mask_logits_BKhw: Array | None = None
    ranks: tuple[Array, ...] | None = None
    heat: HeatOf | None = None


class Runner(Protocol):
    """A network that is ready to run on normalised images."""

    @property
    def num_classes(self) -> int:
        """The number of classes of the labels."""

    @property
    def has_masks(self) -> bool:
        """Whether the network has a decoder."""

    @property
    def selects(self) -> bool:
        """Whether a plug-in module selects positions."""

    @property
    def draws_heat(self) -> bool:
        """Whether ``run`` can give heat maps."""

    @property
    def mask_classes(self) -> tuple[str, ...]:
        """The names of the mask classes; none for masks of one structure."""

    def run(
        self, x_BCHW: Array, *, flips: tuple[Flip, ...], segment: bool, heat: bool = False, kept: bool = False
    ) -> Outputs:
        """Run the network once for each flip; without ``segment`` there is no mask."""


def checked(output: Outputs) -> Outputs:
    """Return an output. Raises UserError if its probabilities or masks are not finite."""
    parts = {"probabilities": output.probability_BN, "mask": output.mask_logits_BKhw}
    require_finite({name: part for name, part in parts.items() if part is not None}, "the network's answer")
    return output
