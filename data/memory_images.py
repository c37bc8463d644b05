"""Turn NumPy arrays and PIL images into upright images of 8 bits."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import DataError
from .data_config import DataConfig
from .deep_pixels import to_pixels
from .images import DECODE_ERRORS, pixels_of
from .pixels import Pixels

_TYPES = (np.bool_, np.uint8, np.uint16)


def image_of_pil(image: Image.Image, view: DataConfig) -> Pixels:
    """Return a PIL image, upright by its EXIF orientation, as ``read_image`` returns a file.

    Of 16-bit colours, Pillow itself keeps 8 bits. Raises DataError if it cannot be decoded.
    """
    try:
        return pixels_of(ImageOps.exif_transpose(image), view)
    except DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"the PIL image cannot be decoded ({reason}): give another") from error


def image_of_array(array: npt.NDArray[Any], view: DataConfig) -> Pixels:
    """Return an array as an image of ``view.channels`` channels.

    ``array`` is H x W (grey) or H x W x C. If 3 channels are needed, C may be 1 (grey) or 4 (RGBA;
    alpha is dropped). Its type is bool, uint8 (0 to 255) or uint16 (scaled down; ``white`` as in
    ``read_image``), or any real number if ``view.white`` is set. Raises DataError for another shape
    or type.
    """
    channels = 1 if array.ndim == 2 else array.shape[-1]
    allowed = (1, 3, 4) if view.channels == 3 else (view.channels,)
    if 0 in array.shape or array.ndim not in (2, 3) or channels not in allowed:
        forms = "H x W, or H x W x C with 1, 3 or 4 channels" if view.channels == 3 else f"H x W x {view.channels}"
        raise DataError(f"an array of shape {array.shape} is no image: give {forms}")
    if array.dtype not in _TYPES and not (view.white and array.dtype.kind in "if"):
        raise DataError(f"an array of type {array.dtype} is no image: give uint8 (0 to 255), uint16 or bool")
    try:
        return to_pixels(array, view.white, view.channels, transparent=channels == 4)
    except ValueError as error:
        raise DataError(f"the array is no image ({error}): give another") from error
