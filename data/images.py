"""Decode files to upright images and masks; every failure becomes a DataError."""

import struct
import tokenize
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from ..errors import DataError
from . import heic
from .band_files import read_bands
from .data_config import DataConfig
from .deep_pixels import deep_values, is_deep_grey, to_8_bits, to_pixels
from .mask_classes import MaskClasses
from .pixels import Pixels
from .samples import Sample

# Another library in the process may have set this: a truncated file must never pass for a whole
# image.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow prints two lines for a large scan; only one of more than twice its limit is refused.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# It also prints two lines for every odd tag of a damaged file; those that matter raise.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_COMMON = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
FORMATS = (*_COMMON, *heic.FORMATS)
MASK_FORMATS = (*_COMMON, "GIF")
# Besides OSError, Pillow's plugins raise these for files that are damaged or hostile.
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
    tokenize.TokenError,  # of the header of a NumPy array
    zlib.error,
    Image.DecompressionBombError,
)

_PLAIN = DataConfig()
_T = TypeVar("_T")


class Undecodable(DataError):
    """An image or mask that cannot be decoded; ``problem`` is the message without its advice."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}: replace or remove it")
        self.problem = problem


def read_image(path: Path, view: DataConfig = _PLAIN) -> Pixels:
    """Decode an image to an array of 8 bits, H x W x ``view.channels``, upright by its orientation.

    ``view.white`` is the value that becomes 255 in images with more than 8 bits; 0 stands for the
    largest value of the type. Of several pages, the first is read. Raises DataError with the path.
    """
    try:
        bands = read_bands(path)
    except DECODE_ERRORS as error:
        raise _undecodable(path, "image", FORMATS, error) from error
    if bands is None:
        return _decode(path, "image", FORMATS, lambda image: _pixels(path, image, view))
    try:
        return to_pixels(bands.values, view.white, view.channels, transparent=bands.transparent)
    except ValueError as error:
        raise _undecodable(path, "image", FORMATS, error) from error


def _pixels(path: Path, image: ImageFile.ImageFile, view: DataConfig) -> Pixels:
    """Return the pixels of a just opened image."""
    if view.white:
        with open_image(path) as again:
            values = deep_values(image, again)
        if values is not None:
            return to_pixels(values, view.white, view.channels, transparent=values.ndim == 3 and values.shape[2] == 4)
    return pixels_of(ImageOps.exif_transpose(image), view)


def pixels_of(image: Image.Image, view: DataConfig) -> Pixels:
    """Return any decoded, upright image as an array of 8 bits, H x W x ``view.channels``.

    Transparency is dropped, unless there are to be four channels. Raises ValueError for another
    number of channels, and as ``to_8_bits`` does.
    """
    if is_deep_grey(image):
        return to_pixels(np.asarray(image), view.white, view.channels)
    four = image.mode == "RGBA" and view.channels == 4
    return to_pixels(np.array(image if four else to_rgb(image)), view.white, view.channels)


def read_mask(path: Path, size: tuple[int, int] | None, classes: MaskClasses | None = None) -> npt.NDArray[np.uint8]:
    """Decode a mask to an array H x W: the class of each pixel, or {0, 1} without ``classes``.

    Without classes, non-zero is structure. ``size`` is the upright image's (width, height). Of
    several frames, the first is read. Raises DataError with the path if the file cannot be decoded,
    has another size, or has a value that the classes do not list. ``size`` None is not compared.
    """
    upright = _decode(path, "mask", MASK_FORMATS, ImageOps.exif_transpose)
    try:
        mask = binarise(upright) if classes is None else classes.read(upright)
    except ValueError as error:
        raise DataError(f"mask {path} {error}") from error
    if size is not None and mask.shape != (size[1], size[0]):
        given = f"{mask.shape[1]}x{mask.shape[0]}"
        raise DataError(f"mask {path} is {given} but its image, upright, is {size[0]}x{size[1]}: make them the same")
    return mask


def absent_mask_classes(samples: Iterable[Sample]) -> list[str]:
    """Return the names of the mask classes that no mask of the samples has.

    It stops reading once all have been seen. Raises DataError as ``read_mask`` does.
    """
    absent: dict[int, str] | None = None
    for sample in samples:
        if sample.mask is not None and sample.mask_classes is not None:
            if absent is None:
                absent = dict(enumerate(sample.mask_classes.names, start=1))
            for index in np.unique(read_mask(sample.mask, None, sample.mask_classes)).tolist():
                absent.pop(index, None)
            if not absent:
                break
    return list((absent or {}).values())


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any decoded image to 8-bit RGB: scale 16-bit greys down, drop transparency.

    Raises ValueError for 32-bit pixels, because their white is unknown.
    """
    if is_deep_grey(image):
        return Image.fromarray(to_8_bits(np.asarray(image), 0)).convert("RGB")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    return image.convert("RGB")


def binarise(mask: Image.Image) -> npt.NDArray[np.uint8]:
    """Convert a decoded mask to an array H x W of {0, 1}: non-zero is structure.

    In a palette mask, black is the background at any index, because encoders reorder palettes. If
    no pixel is black, index 0 is the background.
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
    """Return where an RGBA image has a non-zero colour; transparency is ignored."""
    return np.array(np.asarray(image)[..., :3].any(axis=-1), dtype=np.bool_)


def open_image(path: Path, formats: tuple[str, ...] = FORMATS) -> ImageFile.ImageFile:
    """Open an image lazily, in ``formats`` only: for others (EPS), PIL would start a program."""
    return Image.open(path, formats=formats)


def decode_reason(error: BaseException, formats: tuple[str, ...]) -> str:
    """Return in one line why a file could not be decoded; ``formats`` are those that are read."""
    if isinstance(error, UnidentifiedImageError):
        return f"not recognised as one of {', '.join(sorted(formats))}"
    return " ".join(str(error).split()) or type(error).__name__


def _decode(path: Path, kind: str, formats: tuple[str, ...], convert: Callable[[ImageFile.ImageFile], _T]) -> _T:
    try:
        with open_image(path, formats) as image:
            return convert(image)
    except DECODE_ERRORS as error:
        raise _undecodable(path, kind, formats, error) from error


def _undecodable(path: Path, kind: str, formats: tuple[str, ...], error: BaseException) -> Undecodable:
    return Undecodable(f"{kind} {path} cannot be decoded ({decode_reason(error, formats)})")
