"""Turn an upright image into the network's input, with NumPy and Pillow alone.

Training, scoring and every way of predicting use these functions, so all see the same pixels.

Shapes: C channels, H W height and width.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .data_config import DataConfig
from .pixels import Pixels, resize, size_of
from .windows import WindowGrid

Floats = npt.NDArray[np.float32]

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# The shortest side in pixels of a whole image in evaluation; a smaller one is padded.
SMALLEST = 32
# Limit of the extra size for random resized crops: beyond it, the detail is not worth the memory.
_LARGEST_MARGIN = 1.5


def eval_array(image_HWC: Pixels, config: DataConfig) -> Floats:
    """Return an upright image as a normalised C x H x W float32 array, as in evaluation.

    For ``patch`` it is the whole image.
    """
    return seen_array(to_CHW(fit_image(image_HWC, config)), config)


def fit_image(image_HWC: Pixels, config: DataConfig, *, train: bool = False) -> Pixels:
    """Fit an upright image to the configured size, by ``config.interpolation`` with antialiasing.

    ``squash`` and ``pad`` resize to ``fitted_HW``. ``crop`` and ``whole`` keep the native scale.
    ``patch`` keeps it, or resizes to ``scale`` times it.
    """
    size = fitted_size(size_of(image_HWC), config, train=train)
    if size != size_of(image_HWC):
        image_HWC = resize(image_HWC, size, RESAMPLING[config.interpolation])
    if config.fit == "pad":
        height, width = fitted_HW(config, train=train)
        image_HWC = _padded(image_HWC, (width, height), config)
    return image_HWC


def fitted_size(own: tuple[int, int], config: DataConfig, *, train: bool) -> tuple[int, int]:
    """Return (width, height) to which an image of the size ``own`` is resized."""
    if config.fit == "patch":
        return scaled_size(own, config.scale)
    if config.crops:
        return own
    height, width = fitted_HW(config, train=train)
    return (width, height) if config.fit == "squash" else fit_within(own, (width, height))


def to_CHW(image_HWC: Pixels) -> Pixels:
    """Return a copy of an image with the channels first."""
    return image_HWC.transpose(2, 0, 1).copy()


def seen_array(image_CHW: Pixels, config: DataConfig) -> Floats:
    """Return a fitted image as the network sees it in evaluation: cropped, normalised, padded.

    There may be any leading dimensions. Values are divided by 255, then normalised.
    """
    rows, columns = centre_crop(image_CHW.shape[-2:], config)
    seen_CHW = image_CHW[..., rows, columns].astype(np.float32)
    mean_C11, std_C11 = (np.array(values, np.float32)[:, None, None] for values in config.normalisation)
    seen_CHW *= np.float32(1 / 255)
    seen_CHW -= mean_C11
    seen_CHW /= std_C11
    if not config.crops:
        return seen_CHW
    border_C11 = -mean_C11 / std_C11 if config.border == "black" else np.zeros_like(mean_C11)
    return pad_array(seen_CHW, seen_HW(config, (0, 0)), border_C11)


def centre_crop(size: tuple[int, ...], config: DataConfig) -> tuple[slice, slice]:
    """Return the rows and columns of a fitted image of ``size`` that the network sees."""
    if config.fit != "crop" and config.zoom == 1:
        return slice(None), slice(None)
    to_even = config.fit != "crop" or config.border == "black"
    starts = [
        centre_start(max(0, length - most), to_even=to_even) for length, most in zip(size, config.size_HW, strict=True)
    ]
    rows, columns = (slice(start, start + most) for start, most in zip(starts, config.size_HW, strict=True))
    return rows, columns


def centre_start(excess: int, *, to_even: bool) -> int:
    """Return the first pixel of a centre crop that leaves out ``excess`` pixels.

    Half of it, rounded down as in the code of XMNet and MNSA, or ``to_even`` as in torchvision.
    """
    return round(excess / 2) if to_even else excess // 2


def pad_array(image_CHW: npt.NDArray[Any], size: tuple[int, int], fill_C11: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Pad an image up to ``size`` (height, width), at the right and the bottom."""
    *leading, height, width = image_CHW.shape
    if height >= size[0] and width >= size[1]:
        return image_CHW
    padded = np.empty((*leading, max(height, size[0]), max(width, size[1])), image_CHW.dtype)
    padded[:] = fill_C11
    padded[..., :height, :width] = image_CHW
    return padded


def pad_with_mean(image_CHW: Pixels, size: tuple[int, int], config: DataConfig) -> Pixels:
    """Pad an image with the mean colour up to ``size`` (height, width), right and bottom."""
    return pad_array(image_CHW, size, np.array(mean_colour(config), np.uint8)[:, None, None])


def window_arrays(image_CHW: Pixels, grid: WindowGrid, numbers: Iterable[int], config: DataConfig) -> Floats:
    """Return windows of a fitted image as normalised inputs ``(B, C, height, width)``."""
    windows = [pad_with_mean(grid.crop(image_CHW, number), grid.window, config) for number in numbers]
    return seen_array(np.stack(windows), config)


def fitted_HW(config: DataConfig, *, train: bool) -> tuple[int, int]:
    """Return height and width in pixels of a squashed or padded image, or a patch, before cropping.

    They are ``config.zoom`` times those of the network's input. For random resized crops in
    training they are larger, so that the smallest crop keeps its detail.
    """
    margin = min(_LARGEST_MARGIN, 1 / math.sqrt(config.min_area)) if train else 1.0
    height, width = config.size_HW
    return round(height * max(margin, config.zoom)), round(width * max(margin, config.zoom))


def fit_within(size: tuple[int, int], whole: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) with the aspect of ``size`` that fits into ``whole``."""
    scale = min(whole[0] / size[0], whole[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return (width, height) times ``scale``, at least one pixel."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def seen_HW(config: DataConfig, size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of what the network sees in evaluation of an image.

    ``size`` is the image's (width, height). It matters for ``whole``, whose smallest input has 32
    pixels a side: deep encoders halve an image five times.
    """
    return (max(size[1], SMALLEST), max(size[0], SMALLEST)) if config.fit == "whole" else config.size_HW


def mean_colour(config: DataConfig) -> tuple[int, ...]:
    """Return each channel's value 0..255 that normalisation maps to zero, within rounding."""
    mean, _ = config.normalisation
    return tuple(round(255 * value) for value in mean)


def _padded(image_HWC: Pixels, whole: tuple[int, int], config: DataConfig) -> Pixels:
    """Return an image in the centre of ``whole`` (width, height), around it the mean colour."""
    height, width, channels = image_HWC.shape
    padded = np.empty((whole[1], whole[0], channels), np.uint8)
    padded[:] = mean_colour(config)
    # Pillow's place, also of an odd border.
    left, top = round((whole[0] - width) * 0.5), round((whole[1] - height) * 0.5)
    padded[top : top + height, left : left + width] = image_HWC
    return padded
