"""Inspect one image or mask file and return its problems; no file makes the inspection raise."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from .band_files import Bands, channel_choices, read_bands
from .deep_pixels import deep_values, is_deep_grey
from .images import DECODE_ERRORS, FORMATS, MASK_FORMATS, binarise, decode_reason, open_image, to_rgb
from .mask_classes import MaskClasses
from .perceptual_hash import perceptual_hash

Problem: TypeAlias = tuple[Literal["error", "warning"], str, str]
# A mask has two values; more mean soft edges, several structures or lossy compression.
_MASK_VALUES = 2
_EMPTY: Problem = ("warning", "empty-mask", "no pixel is set: draw the structure, or remove the mask")


@dataclass(frozen=True)
class Picture:
    """A readable image: upright (width, height), hash of its pixels, EXIF orientation, brightness.

    ``dtype`` is the NumPy type of its values and ``brightest`` the largest of them. ``channels``
    are the numbers of channels that it can be read with, see ``channel_choices``. ``look`` is its
    perceptual hash.
    """

    size: tuple[int, int]
    digest: str
    orientation: int
    dtype: str
    brightest: float
    channels: tuple[int, ...] = (3,)
    look: bytes = b""


@dataclass(frozen=True)
class MaskFacts:
    """The problems of a mask, its classes from 1, and the share of its pixels that are structure.

    The share is None for a mask that cannot be read.
    """

    problems: list[Problem]
    classes: frozenset[int] = frozenset()
    share: float | None = None


def inspect_image(path: Path) -> tuple[Picture | None, list[Problem]]:
    """Return the image's properties (None if it is unusable) and its problems."""
    try:
        bands = read_bands(path)
        if bands is None and (problems := _check_header(path, FORMATS)):
            return None, problems
        values, transparent, orientation = bands or _read_with_pillow(path)
        choices = channel_choices(path)
    except DECODE_ERRORS as error:
        return None, [_undecodable(error, FORMATS)]
    if not np.isfinite(values).all():
        return None, [("error", "not-finite", "it has values that are not finite: replace them by numbers")]
    size = (values.shape[1], values.shape[0])
    # A copy without transparency is a copy.
    colours = values[..., :-1] if transparent else values
    digest = hashlib.sha256(repr(size).encode() + colours.tobytes()).hexdigest()
    look = perceptual_hash(colours)
    picture = Picture(size, digest, orientation, str(values.dtype), float(values.max()), choices, look)
    return picture, _check_frames(path, FORMATS)


def _read_with_pillow(path: Path) -> Bands:
    """Return the values of an image that Pillow reads: all bits of greys and colours."""
    with open_image(path) as image, open_image(path) as again:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        # Of others, such as 16-bit greys with transparency, only 8 bits are read.
        deep = image.mode in ("RGB", "RGBA") or is_deep_grey(image)
        values = deep_values(image, again) if deep else None
        if values is None:
            values = np.asarray(to_rgb(ImageOps.exif_transpose(image)))
        return Bands(values, values.ndim == 3 and values.shape[2] == 4, orientation)


def inspect_mask(path: Path, picture: Picture | None) -> list[Problem]:
    """Return the problems of a mask of one structure; ``picture`` as in ``inspect_class_mask``."""
    return inspect_class_mask(path, picture, None).problems


def inspect_class_mask(path: Path, picture: Picture | None, classes: MaskClasses | None) -> MaskFacts:
    """Return what a mask holds; it is compared with its image unless ``picture`` is None."""
    problems = _check_header(path, MASK_FORMATS)
    if problems:
        return MaskFacts(problems)
    try:
        with open_image(path, MASK_FORMATS) as image:
            lossy = image.format == "JPEG"
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            mask = ImageOps.exif_transpose(image)
            values = _num_values(mask)
    except DECODE_ERRORS as error:
        return MaskFacts([_undecodable(error, MASK_FORMATS)])
    content = _check_frames(path, MASK_FORMATS) + _compare_with_image(picture, mask.size, orientation)
    if classes is None:
        structure = binarise(mask)
        return MaskFacts(content + _check_content(structure, values, lossy), frozenset({1}), float(structure.mean()))
    try:
        class_HW = classes.read(mask)
    except ValueError as error:
        return MaskFacts([*content, ("error", "unknown-mask-value", str(error))])
    found = frozenset(np.unique(class_HW).tolist()) - {0}
    return MaskFacts(content if found else [*content, _EMPTY], found, float((class_HW > 0).mean()))


def _check_frames(path: Path, formats: tuple[str, ...]) -> list[Problem]:
    """Return a problem if a file that can be decoded has several frames."""
    try:
        with open_image(path, formats) as image:
            # Cameras write a preview as the second frame of a JPEG.
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    except DECODE_ERRORS:
        return []  # The first frame is sound; damage behind it changes nothing.
    if frames == 1:
        return []
    return [("warning", "frames", f"{frames} frames, only the first is read: save the one to use as PNG")]


def _check_header(path: Path, formats: tuple[str, ...]) -> list[Problem]:
    """Check the file size and the header, so that no decompression bomb is decoded."""
    try:
        if path.stat().st_size == 0:
            return [("error", "zero-byte", "the file is empty: restore it or delete it")]
        with open_image(path, formats) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError:
        return [("error", "bomb", "it claims more pixels than is safe to decode: scale it down or delete it")]
    except DECODE_ERRORS as error:
        return [_undecodable(error, formats)]
    if pixels > (Image.MAX_IMAGE_PIXELS or pixels):
        return [("warning", "bomb", f"it claims {pixels} pixels, so it was not decoded: scale it down")]
    return []


def _undecodable(error: BaseException, formats: tuple[str, ...]) -> Problem:
    return "error", "unreadable", f"cannot be decoded ({decode_reason(error, formats)}): replace it or delete it"


def _num_values(mask: Image.Image) -> int:
    """Return how many different values the mask's pixels have."""
    pixels = np.asarray(mask)
    if pixels.ndim == 3:
        pixels = pixels.astype(np.uint32) @ (256 ** np.arange(pixels.shape[2], dtype=np.uint32))
    return len(np.unique(pixels))


def _check_content(structure: npt.NDArray[np.uint8], values: int, lossy: bool) -> list[Problem]:
    if not structure.any():
        return [_EMPTY]
    problems: list[Problem] = []
    if structure.all():
        problems.append(("warning", "full-mask", "every pixel is set: is the background zero?"))
    if values > _MASK_VALUES:
        level: Literal["error", "warning"] = "error" if lossy else "warning"
        cause = "JPEG blurs the background off zero: export it as PNG" if lossy else "all but zero count as structure"
        problems.append((level, "mask-values", f"{values} different values, not 2; {cause}"))
    return problems


def _compare_with_image(picture: Picture | None, size: tuple[int, int], orientation: int) -> list[Problem]:
    if picture is None:
        return []
    if size != picture.size:
        theirs = f"{picture.size[0]}x{picture.size[1]}"
        return [
            ("error", "size-mismatch", f"{size[0]}x{size[1]}, but its image, upright, is {theirs}: redraw or resize")
        ]
    if orientation != picture.orientation:
        message = "its image is turned by EXIF and it is not, or the reverse: check that they overlay"
        return [("warning", "exif-turned", message)]
    return []
