"""Read image files that Pillow cannot: NumPy arrays, and TIFFs of many or of deep channels.

Shapes: H W height and width, C channels.
"""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from .data_config import MAX_CHANNELS
from .deep_pixels import Values

# The first bytes of NumPy's files, and of TIFF and BigTIFF in both byte orders.
_ARRAY, _TIFF = b"\x93NUMPY", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# TIFF: pixels that are bands (white is zero, black is zero, RGB), extra samples that are
# transparency, samples of a pixel side by side, and the tag of the orientation.
_BANDS, _TRANSPARENCY, _INTERLEAVED, _ORIENTATION = (0, 1, 2), (1, 2), 1, 274
# The axes to flip for an orientation, after the exchange of rows and columns from 5 on.
_FLIPS: dict[int, tuple[int, ...]] = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
# Bytes of a pixel of the images that Pillow decodes, up to twice its limit of pixels.
_PIXEL_BYTES = 4


class Bands(NamedTuple):
    """An image's upright values, H x W x C; ``transparent`` if the last channel is transparency."""

    values: Values
    transparent: bool
    orientation: int = 1


def read_bands(path: Path) -> Bands | None:
    """Return the values of a file; None for one that Pillow reads, by its first bytes and tags.

    Of several pages of a TIFF, the first is read. Raises ValueError for an array that is no image
    or claims more bytes than is safe to read, and other errors for a damaged file.
    """
    start = _first_bytes(path)
    if start.startswith(_ARRAY):
        return Bands(_read_array(path), transparent=False)
    if not start.startswith(_TIFF):
        return None
    with _open_tiff(path) as tiff:
        page = tiff.pages.first
        if _is_pillows(page):
            return None
        _check(_shape(page), page.dtype)
        values, tag = page.asarray(), page.tags.get(_ORIENTATION)
        if page.planarconfig != _INTERLEAVED:
            values = np.moveaxis(values, 0, -1)
        orientation = int(tag.value) if tag else 1
        return Bands(_upright(values, orientation), _has_transparency(page), orientation)


def channel_choices(path: Path) -> tuple[int, ...]:
    """Return the numbers of channels that an image can be read with, by its header.

    The first is that without transparency. Greys count as 3, because they become RGB, and so does
    any file that is neither a TIFF nor an array. Raises the errors of ``read_bands``.
    """
    start = _first_bytes(path)
    if start.startswith(_ARRAY):
        return (_colours(_array_shape(path)[2]),)
    if not start.startswith(_TIFF):
        return (3,)
    with _open_tiff(path) as tiff:
        page = tiff.pages.first
        samples, transparent = int(page.samplesperpixel), _has_transparency(page)
        if _is_pillows(page):
            return (3, 4) if transparent and samples == 4 else (3,)
        _check(_shape(page), page.dtype)
    return (_colours(samples - 1), samples) if transparent else (samples,)


def _check(shape: tuple[int, ...], dtype: Any) -> None:
    """Raise ValueError for an array that is no image, or is too large to be read safely."""
    if len(shape) != 3 or 0 in shape or shape[2] > MAX_CHANNELS:
        given = " x ".join(map(str, shape))
        raise ValueError(f"its shape is {given}: give H x W, or H x W x C with 1 to {MAX_CHANNELS} channels, C last")
    if dtype is None or np.dtype(dtype).kind not in "buif":
        raise ValueError(f"its values are of type {dtype}: give 8 or 16 bits, integers or floats")
    size, most = np.dtype(dtype).itemsize, 2 * _PIXEL_BYTES * (Image.MAX_IMAGE_PIXELS or 0)
    if most and shape[0] * shape[1] * shape[2] * size > most:
        claim = f"{shape[0]} x {shape[1]} pixels of {shape[2]} channels of {size} bytes"
        raise ValueError(f"it claims {claim}, more than {most / 1e6:.0f} MB: scale it down")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_ARRAY))


def _array_shape(path: Path) -> tuple[int, ...]:
    """Return height, width and channels by the header of an array's file."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    shape = (*shape, 1) if len(shape) == 2 else shape
    _check(shape, dtype)
    return shape


def _read_array(path: Path) -> Values:
    shape = _array_shape(path)
    # Mapping refuses a file that is shorter than its header claims.
    return np.array(np.lib.format.open_memmap(path, mode="r")).reshape(shape)


def _open_tiff(path: Path) -> Any:
    # Imported here: most data sets have no TIFF.
    from tifffile import TiffFile, logger

    # It logs every oddity of a file; those that matter raise as well.
    logger().setLevel(logging.CRITICAL + 1)
    return TiffFile(path)


def _is_pillows(page: Any) -> bool:
    """Tell whether Pillow reads all channels of a page, and every bit of them."""
    if page.photometric not in _BANDS or page.samplesperpixel == 1:
        return True
    colours = page.samplesperpixel - _has_transparency(page)
    deep = page.bitspersample == 16 and colours == 3 and page.planarconfig == _INTERLEAVED
    return deep or (page.bitspersample == 8 and colours in (1, 3))


def _has_transparency(page: Any) -> bool:
    return bool(page.extrasamples) and page.extrasamples[-1] in _TRANSPARENCY


def _shape(page: Any) -> tuple[int, int, int]:
    return int(page.imagelength), int(page.imagewidth), int(page.samplesperpixel)


def _colours(bands: int) -> int:
    return 3 if bands == 1 else bands


def _upright(values: Values, orientation: int) -> Values:
    turned = values.swapaxes(0, 1) if orientation >= 5 else values
    return np.flip(turned, _FLIPS.get(orientation, ()))
