"""From the network's square view back to the image it was made of: the inverse of how an image is fitted.

Shapes: H W the original image, S the view's side, h w a map of the view at any resolution.
"""

import torch.nn.functional as F
from torch import Tensor

from ..data.config import DataConfig


def to_original(map_hw: Tensor, size: tuple[int, int], config: DataConfig, *, fill: float) -> Tensor:
    """A map over the view as a map ``(H, W)`` over the original image, whose ``size`` is (width, height).

    Bilinear with half-pixel centres. ``squash`` stretches it back, ``pad`` drops the border first; ``crop`` saw only
    the image's centre at its native scale, so everything outside it is ``fill``.
    """
    width, height = size
    view_SS = _resize(map_hw, config.size, config.size)
    if config.fit == "squash":
        return _resize(view_SS, height, width)
    if config.fit == "pad":
        left, top, inner_width, inner_height = padded_box(size, config.size)
        return _resize(view_SS[top : top + inner_height, left : left + inner_width], height, width)
    left, top = cropped_corner(size, config.size)
    seen = view_SS[: height - top, : width - left]
    whole_HW = view_SS.new_full((height, width), fill)
    whole_HW[top : top + seen.shape[0], left : left + seen.shape[1]] = seen
    return whole_HW


def padded_box(size: tuple[int, int], side: int) -> tuple[int, int, int, int]:
    """Where in the padded view the image lies: left, top, width, height in pixels of the view."""
    scale = side / max(size)
    width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    return round((side - width) * 0.5), round((side - height) * 0.5), width, height


def cropped_corner(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Left and top pixel of the centre crop in the image; zero where the image is smaller and was padded."""
    width, height = (max(length, side) for length in size)
    return round((width - side) / 2), round((height - side) / 2)


def _resize(map_hw: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(map_hw[None, None], (height, width), mode="bilinear", align_corners=False)[0, 0]
