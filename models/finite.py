"""The check that numbers from files and networks are finite."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

if TYPE_CHECKING:  # predictions run where torch is absent
    from torch import Tensor

Numbers: TypeAlias = "Tensor | NDArray[np.floating] | float"


def is_finite(values: Numbers) -> bool:
    """Return whether no value is NaN or infinite."""
    if isinstance(values, np.ndarray | float):
        return bool(np.isfinite(values).all())
    return bool(values.isfinite().all())


def require_finite(numbers: Mapping[str, Numbers], source: str) -> None:
    """Raise UserError with ``source`` and the name of the first numbers that are not finite."""
    for name, values in numbers.items():
        if not is_finite(values):
            raise UserError(
                f"{source}: `{name}` has numbers that are not finite: the weights are damaged or forged;"
                " restore the file, or export the bundle again"
            )
