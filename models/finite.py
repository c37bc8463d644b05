"""The check that numbers from files and networks are finite."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import UserError

Numbers = Tensor | NDArray[np.floating] | float


def is_finite(values: Numbers) -> bool:
    """Return whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all() if isinstance(values, Tensor) else np.isfinite(values).all())


def require_finite(numbers: Mapping[str, Numbers], source: str) -> None:
    """Raise UserError with ``source`` and the name of the first numbers that are not finite."""
    for name, values in numbers.items():
        if not is_finite(values):
            raise UserError(
                f"{source}: `{name}` has numbers that are not finite: the weights are damaged or forged;"
                " restore the file, or export the bundle again"
            )
