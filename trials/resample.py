"""Resize maps of numbers with NumPy, bilinearly or to the nearest pixel, with half-pixel centres.

Both are what torch's ``interpolate`` computes for ``bilinear`` (without aligned corners) and for
``nearest-exact``, within rounding.

Shapes: h w the given map, H W the result; there may be any leading dimensions.
"""

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_Values = TypeVar("_Values", bound=np.generic)


class Places(NamedTuple):
    """Where the pixels of a resized axis lie: between ``low`` and ``high``, by ``share``."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: Floats

    @classmethod
    def of(cls, length: int, size: int) -> "Places":
        """Return the places of ``size`` pixels on an axis of ``length`` pixels."""
        place = np.maximum((np.arange(size) + 0.5) * (length / size) - 0.5, 0)
        low = np.minimum(place.astype(np.int64), length - 1)
        return cls(low, np.minimum(low + 1, length - 1), (place - low).astype(np.float32))


def resize_bilinear(map_hw: NDArray[Any], size: tuple[int, int]) -> Floats:
    """Return a map resized to ``size`` (H, W), as float32."""
    rows, columns = (Places.of(length, to) for length, to in zip(map_hw.shape[-2:], size, strict=True))
    wide_hW = resize_columns(map_hw.astype(np.float32, copy=False), columns)
    if map_hw.shape[-2] == size[0]:
        return wide_hW
    return mix_rows(wide_hW, rows)


def resize_columns(map_hw: Floats, columns: Places) -> Floats:
    """Return a map with its columns resized."""
    if map_hw.shape[-1] == len(columns.low):
        return map_hw
    low = map_hw[..., columns.low]
    return low + (map_hw[..., columns.high] - low) * columns.share


def mix_rows(map_hW: Floats, rows: Places) -> Floats:
    """Return a map with its rows resized."""
    low_HW, mixed_HW = map_hW[..., rows.low, :], map_hW[..., rows.high, :]
    # In place: whole images are large.
    mixed_HW -= low_HW
    mixed_HW *= rows.share[:, None]
    mixed_HW += low_HW
    return mixed_HW


def resize_nearest(map_hw: NDArray[_Values], size: tuple[int, int]) -> NDArray[_Values]:
    """Return a map resized to ``size`` (H, W), each pixel the nearest one."""
    rows, columns = (
        np.minimum(((np.arange(to) + 0.5) * (length / to)).astype(np.int64), length - 1)
        for length, to in zip(map_hw.shape[-2:], size, strict=True)
    )
    return map_hw[..., rows[:, None], columns]
