"""Turn NumPy arrays and PIL images into upright RGB images."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import DataError
from .deep_pixels import to_8_bits
from .images import DECODE_ERRORS, to_rgb

_CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}


def image_of_pil(image: Image.Image, white: float = 0.0) -> Image.Image:
    """Return a PIL image as 8-bit RGB, upright by its EXIF orientation.

    ``white`` as in ``read_image``; of 16-bit colours, Pillow itself keeps 8 bits. Raises DataError
    if it cannot be decoded.
    """
    try:
        return to_rgb(ImageOps.exif_transpose(image), white)
    except DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"the PIL image cannot be decoded ({reason}): give another") from error


def image_of_array(array: npt.NDArray[Any], white: float = 0.0) -> Image.Image:
    """Return an array as an 8-bit RGB image.

    ``array`` is H x W (grey) or H x W x C with C = 1 (grey), 3 (RGB) or 4 (RGBA; alpha is dropped).
    Its type is bool, uint8 (0 to 255) or uint16 (scaled down; ``white`` as in ``read_image``).
    Raises DataError for another shape or type.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    grey = array.ndim == 2
    if 0 in array.shape or not (grey or (array.ndim == 3 and array.shape[2] in _CHANNELS)):
        raise DataError(
            f"an array of shape {array.shape} is no image: give H x W, or H x W x C with 1, 3 or 4 channels"
        )
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = to_8_bits(array, white)
    elif array.dtype != np.uint8:
        raise DataError(f"an array of type {array.dtype} is no image: give uint8 (0 to 255), uint16 or bool")
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)))
