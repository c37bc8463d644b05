"""Files become upright RGB images and binary masks; whatever goes wrong in decoding becomes a DataError."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from ..errors import DataError

# Another library in the process may have asked for the opposite: half a leaf must never pass for a leaf.
ImageFile.LOAD_TRUNCATED_IMAGES = False

# Pillow's plugins let these through for files that are damaged or hostile, besides OSError.
FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

_T = TypeVar("_T")


def read_image(path: Path) -> Image.Image:
    """Decode an image to RGB, turned upright by its EXIF orientation. Raises DataError naming the file."""
    return _decode(path, "image", lambda image: to_rgb(ImageOps.exif_transpose(image)))


def read_mask(path: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Decode a mask to an array H x W of {0, 1}: non-zero is structure.

    ``size`` is the upright image's (width, height). Raises DataError naming the file if it cannot be decoded or is
    of another size.
    """
    mask = _decode(path, "mask", lambda image: binarise(ImageOps.exif_transpose(image)))
    if mask.shape != (size[1], size[0]):
        given = f"{mask.shape[1]}x{mask.shape[0]}"
        raise DataError(f"mask {path} is {given} but its image, upright, is {size[0]}x{size[1]}: make them the same")
    return mask


def to_rgb(image: Image.Image) -> Image.Image:
    """Any decoded image as 8-bit RGB; 16-bit greys are scaled down, transparency is dropped.

    Raises ValueError for 32-bit pixels, whose white is unknown.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are 32-bit (mode {image.mode}): save it with 8 or 16 bits")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return image.convert("RGB")


def binarise(mask: Image.Image) -> npt.NDArray[np.uint8]:
    """A decoded mask as an array H x W of {0, 1}: non-zero is structure.

    In a palette mask black is background whatever its index (encoders reorder palettes); if its picture has no
    black, index 0 is.
    """
    if mask.mode == "P":
        painted = _any_channel(mask.convert("RGBA"))
        structure = np.asarray(mask) != 0 if painted.all() else painted
    elif mask.mode in ("1", "L") or mask.mode.startswith(("I", "F")):
        structure = np.asarray(mask) != 0
    else:
        structure = _any_channel(mask.convert("RGBA"))
    return np.array(structure, dtype=np.uint8)


def _any_channel(image: Image.Image) -> npt.NDArray[np.bool_]:
    """Where an RGBA image has any colour, whatever its transparency."""
    return np.array(np.asarray(image)[..., :3].any(axis=-1), dtype=np.bool_)


def open_image(path: Path) -> Image.Image:
    """The file as a lazy PIL image, by one of our formats: PIL knows more, and starts a program for some (EPS)."""
    return Image.open(path, formats=FORMATS)


def _decode(path: Path, kind: str, convert: Callable[[Image.Image], _T]) -> _T:
    try:
        with open_image(path) as image:
            return convert(image)
    except DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{kind} {path} cannot be decoded ({reason}): replace or remove it") from error
