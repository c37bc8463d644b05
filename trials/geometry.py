"""From the network's view back to the image it was made of: the inverse of how an image is fitted.

Shapes: H W the original image, V U the view's height and width, h w a map of the view at any resolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.data_config import DataConfig
from ..data.transforms import fit_within, fitted_HW


def to_original(map_hw: Tensor, size: tuple[int, int], config: DataConfig, *, fill: float) -> Tensor:
    """A map over the view as a map ``(H, W)`` over the original image, whose ``size`` is (width, height).

    Bilinear with half-pixel centres. ``squash`` stretches it back, ``pad`` drops the border first; ``crop`` saw only
    the image's centre at its native scale, and so did ``squash`` with a zoom: everything outside it is ``fill``.
    """
    width, height = size
    view_VU = _resize(map_hw, *config.size_HW)
    if config.fit == "squash":
        return _unzoom(view_VU, fitted_HW(config, train=False), (height, width), fill)
    if config.fit == "pad":
        left, top, inner_width, inner_height = padded_box(size, config.size_HW)
        return _resize(view_VU[top : top + inner_height, left : left + inner_width], height, width)
    left, top = cropped_corner(size, config.size_HW)
    seen = view_VU[: height - top, : width - left]
    whole_HW = view_VU.new_full((height, width), fill)
    whole_HW[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
    return whole_HW


def padded_box(size: tuple[int, int], view: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where in the padded ``view`` (height, width) the image lies: left, top, width, height in pixels of the view."""
    width, height = fit_within(size, (view[1], view[0]))
    return round((view[1] - width) * 0.5), round((view[0] - height) * 0.5), width, height


def cropped_corner(size: tuple[int, int], view: tuple[int, int]) -> tuple[int, int]:
    """Left and top pixel of the centre crop ``view`` (height, width); zero where the image is smaller."""
    width, height = max(size[0], view[1]), max(size[1], view[0])
    return round((width - view[1]) / 2), round((height - view[0]) / 2)


def _unzoom(view_VU: Tensor, stage: tuple[int, int], original: tuple[int, int], fill: float) -> Tensor:
    """The centre of a stage (height, width) over all of the original (height, width); ``fill`` where it was not."""
    rows, columns = view_VU.shape
    left, top = cropped_corner((stage[1], stage[0]), (rows, columns))
    # The border is repeated, not filled, so that ``fill`` does not bleed into what was seen.
    border = (left, stage[1] - columns - left, top, stage[0] - rows - top)
    whole_HW = _resize(F.pad(view_VU[None, None], border, mode="replicate")[0, 0], *original)
    seen_H = _within(original[0], stage[0], top, rows)
    seen_W = _within(original[1], stage[1], left, columns)
    return whole_HW.masked_fill(~(seen_H[:, None] & seen_W).to(whole_HW.device), fill)


def _within(length: int, stage: int, start: int, number: int) -> Tensor:
    """Which of ``length`` pixels have their centre in ``number`` pixels of the stage from ``start`` on."""
    # In units of 1 / (2 length) pixels of the stage all of this is in whole numbers, and exact.
    centre = (2 * torch.arange(length) + 1) * stage
    return (centre >= 2 * length * start) & (centre < 2 * length * (start + number))


def _resize(map_hw: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(map_hw[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]
