"""Map the network's view back to the original image: the inverse of fitting an image to the view.

Shapes: H W the original image, V U the height and width of the view, h w a map of the view at any
resolution. There may be any leading dimensions.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.data_config import DataConfig
from ..data.fit_image import centre_start, fit_within, fitted_HW, seen_HW
from .resample import Floats, resize_bilinear


def to_original(map_hw: NDArray[Any], size: tuple[int, int], config: DataConfig, *, fill: float) -> Floats:
    """Return a map of the view as a map ``(H, W)`` of the original image.

    ``size`` is the original (width, height). Resizing is bilinear with half-pixel centres.
    ``squash`` is stretched back; ``pad`` and ``whole`` drop the border first. ``crop``, and
    ``squash`` with a zoom, saw only the centre of the image: everything outside it becomes
    ``fill``.
    """
    width, height = size
    view_VU = resize_bilinear(map_hw, seen_HW(config, size))
    if config.fit == "squash":
        return _unzoom(view_VU, fitted_HW(config, train=False), (height, width), fill)
    if config.fit == "pad":
        left, top, inner_width, inner_height = padded_box(size, config.size_HW)
        return resize_bilinear(view_VU[..., top : top + inner_height, left : left + inner_width], (height, width))
    if config.fit == "whole":
        return view_VU[..., :height, :width]
    left, top = cropped_corner(size, config.size_HW, to_even=config.border == "black")
    seen = view_VU[..., : height - top, : width - left]
    whole_HW = np.full((*view_VU.shape[:-2], height, width), fill, np.float32)
    whole_HW[..., top : top + seen.shape[-2], left : left + seen.shape[-1]] = seen
    return whole_HW


def padded_box(size: tuple[int, int], view: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the image's box in the padded ``view`` (height, width) as left, top, width, height."""
    width, height = fit_within(size, (view[1], view[0]))
    return round((view[1] - width) * 0.5), round((view[0] - height) * 0.5), width, height


def cropped_corner(size: tuple[int, int], view: tuple[int, int], *, to_even: bool) -> tuple[int, int]:
    """Return left and top pixel of the centre crop ``view`` (height, width).

    A coordinate is zero if the image is smaller than the view. ``to_even`` as in ``centre_start``.
    """
    left, top = (max(0, length - seen) for length, seen in zip(size, view[::-1], strict=True))
    return centre_start(left, to_even=to_even), centre_start(top, to_even=to_even)


def _unzoom(view_VU: Floats, stage: tuple[int, int], original: tuple[int, int], fill: float) -> Floats:
    """Return a map over the whole original image from one over the centre of a zoomed stage.

    ``stage`` and ``original`` are (height, width). Pixels outside the centre become ``fill``.
    """
    rows, columns = view_VU.shape[-2:]
    left, top = cropped_corner((stage[1], stage[0]), (rows, columns), to_even=True)
    # Replicate the border, so that ``fill`` does not bleed into the visible part.
    border = ((top, stage[0] - rows - top), (left, stage[1] - columns - left))
    leading = ((0, 0),) * (view_VU.ndim - 2)
    whole_HW = resize_bilinear(np.pad(view_VU, leading + border, mode="edge"), original)
    seen_H = _within(original[0], stage[0], top, rows)
    seen_W = _within(original[1], stage[1], left, columns)
    return np.where(seen_H[:, None] & seen_W, whole_HW, np.float32(fill))


def _within(length: int, stage: int, start: int, number: int) -> NDArray[np.bool_]:
    """Return which of ``length`` pixels have their centre in ``number`` pixels from ``start``.

    ``start`` and ``number`` are in pixels of the stage.
    """
    # In units of 1 / (2 length) stage pixels all values are integers, so the comparison is exact.
    centre = (2 * np.arange(length) + 1) * stage
    return (centre >= 2 * length * start) & (centre < 2 * length * (start + number))
