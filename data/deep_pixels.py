"""Values of images in their own types, and their scaling to 8 bits.

Shapes: H W height and width, C channels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

Values = npt.NDArray[Any]

# Rows that are scaled at once, so that no floats of the image's size are needed.
_ROWS = 256
# Pillow decodes 16-bit colours by these raw modes, and keeps the upper byte of each value.
_UPPER = {"L": "B", "B": "L", "N": "B"}


def deep_values(image: ImageFile.ImageFile, again: ImageFile.ImageFile) -> Values | None:
    """Return the upright values of an image with more than 8 bits; None for one of 8 bits.

    The result is H x W or H x W x C (RGB, RGBA), uint16, int32 or float32. ``image`` and ``again``
    are the same file, just opened twice: Pillow decodes only one byte of 16-bit colours at a time.
    Raises ValueError for 16-bit greys with transparency.
    """
    if is_deep_grey(image):
        return _native(np.asarray(ImageOps.exif_transpose(image)))
    raw_modes = {_raw_mode(tile.args) for tile in image.tile}
    if not any(";16" in mode for mode in raw_modes):
        return None
    if image.mode not in ("RGB", "RGBA") or not all(mode.startswith(image.mode) for mode in raw_modes):
        raise ValueError("it has 16-bit greys with transparency: save it without transparency")
    again.tile = [tile._replace(args=_other_byte(tile.args)) for tile in again.tile]
    upper, lower = (np.asarray(ImageOps.exif_transpose(half)).astype(np.uint16) for half in (image, again))
    return upper << 8 | lower


def is_deep_grey(image: Image.Image) -> bool:
    """Tell whether an image holds greys of 16 or 32 bits, or floats."""
    return image.mode.startswith("I") or image.mode == "F"


def to_pixels(values: Values, white: float, channels: int, *, transparent: bool = False) -> npt.NDArray[np.uint8]:
    """Return values H x W or H x W x C as an image of ``channels`` channels of 8 bits.

    Greys become RGB. Values that are not uint8 are scaled by ``white`` as ``to_8_bits`` does; True
    is 255. With ``transparent`` the last channel is transparency, which is dropped unless it makes
    up the number. Raises ValueError for another number of channels, and as ``to_8_bits`` does.
    """
    values = values[..., None] if values.ndim == 2 else values
    if transparent and values.shape[2] != channels:
        values = values[..., :-1]
    grey = values.shape[2] == 1 and channels == 3
    if values.shape[2] != channels and not grey:
        raise ValueError(f"it has {values.shape[2]} channels, and {channels} are needed")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    pixels = values if values.dtype == np.uint8 else to_8_bits(values, white)
    return np.repeat(pixels, 3, axis=2) if grey else np.ascontiguousarray(pixels)


def to_8_bits(values: Values, white: float) -> npt.NDArray[np.uint8]:
    """Return values scaled so that ``white``, and all above, becomes 255; values below 0 become 0.

    ``white`` 0 stands for 65535, the largest value of uint16. Raises ValueError for ``white`` 0
    with another type, whose white is unknown, and for floats that are not finite.
    """
    values = _native(values)
    if not white and values.dtype != np.uint16:
        kind = f"{8 * values.dtype.itemsize}-bit {'floats' if values.dtype.kind == 'f' else 'integers'}"
        raise ValueError(
            f"its values are {kind} up to {values.max():g}, and which of them is white is unknown:"
            " set data.white, or save it with 8 or 16 bits"
        )
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite: replace them by numbers")
    if values.dtype != np.uint16:
        return _scaled(values, white)
    # A table needs no floats of the image's size.
    table = np.arange(2**16, dtype=np.uint16)
    scaled = _scaled(table, white) if white else (table // 257).astype(np.uint8)
    return np.asarray(scaled[values])


def _native(values: Values) -> Values:
    """Return values in the machine's byte order: Pillow keeps that of a big-endian TIFF's greys."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _scaled(values: Values, white: float) -> npt.NDArray[np.uint8]:
    scaled = np.empty(values.shape, np.uint8)
    for first in range(0, len(values), _ROWS):
        rows = slice(first, first + _ROWS)
        scaled[rows] = np.rint(np.clip(values[rows].astype(np.float64), 0, white) * (255 / white))
    return scaled


def _raw_mode(args: Any) -> str:
    return str(args[0] if isinstance(args, tuple) else args)


def _other_byte(args: Any) -> Any:
    """Return a decoder's arguments with the byte order that makes Pillow keep the lower byte."""
    mode = _raw_mode(args)
    swapped = mode[:-1] + _UPPER[mode[-1]]
    return (swapped, *args[1:]) if isinstance(args, tuple) else swapped
