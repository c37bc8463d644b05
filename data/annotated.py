"""Images with annotated shapes: shared by the readers of COCO, YOLO, CVAT and Label Studio."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import DataError
from .images import DECODE_ERRORS, open_image
from .import_rows import Imported, Row, first_few, printable_name
from .mask_classes import MaskClasses
from .names import canonical_file
from .samples import SPLITS
from .scan_folders import IMAGE_EXTENSIONS
from .shapes import Mask, Size

# Where an image's label comes from: the category of its shapes, or the folder that it is in.
CATEGORY, FOLDER = "category", "folder"
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class Shape:
    """A shape of one category; ``draw`` returns its pixels for the image's (width, height).

    ``where`` names it in messages. Without ``draw`` it is a box, which has no mask.
    """

    category: str
    where: str
    draw: Callable[[Size], Mask] | None


@dataclass
class AnnotatedImage:
    """An image with its shapes.

    ``name`` is its path in the annotations, ``label`` the label of the whole image if the format
    has one, and ``size`` the (width, height) that the annotations give, if they do.
    """

    image: Path
    name: str
    split: str = ""
    label: str | None = None
    size: Size | None = None
    shapes: list[Shape] = field(default_factory=list)


class ImageIndex:
    """The images below a folder, found by the end of their paths."""

    def __init__(self, source: Path, tool: str) -> None:
        self._source = source
        self._tool = tool
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file():
                self._by_name[canonical_file(path.name)].append(path)
        self._absent: list[str] = []

    def find(self, name: str, near: Path, split: str = "") -> Path | None:
        """Return the image that a list at ``near`` calls ``name``; None, and kept, if absent.

        Of several, the one in the list's own folder counts, or else in the split's. Raises
        DataError if there are still several.
        """
        parts = [
            canonical_file(part) for part in PurePosixPath(name.replace("\\", "/")).parts if part not in ("/", "..")
        ]
        found = self._by_name.get(parts[-1], []) if parts else []
        found = [path for path in found if [canonical_file(part) for part in path.parts][-len(parts) :] == parts]
        for nearer in (near.parent / name, near.parent / "images" / name):
            if nearer in found:
                return nearer
        if len(found) > 1 and split:
            found = [path for path in found if split in map(split_of, path.relative_to(self._source).parts)] or found
        if len(found) > 1:
            raise DataError(f"{near} names {printable_name(name)}, and {len(found)} files end so: give longer paths")
        if not found:
            self._absent.append(name)
        return found[0] if found else None

    def check(self) -> None:
        """Raise DataError with the names and their number if images were not found."""
        if self._absent:
            raise DataError(
                f"{self._source} has no image {first_few(self._absent)}, though the {self._tool} file names it: copy"
                " the images into the folder, or remove them from the file"
            )


def split_of(text: str) -> str:
    """Return the split that a name stands for, such as ``instances_val2017.json``; else empty."""
    words = "".join(char if char.isalpha() else " " for char in text.lower()).split()
    return next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises DataError with the position of a mistake."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}; export it again"
        ) from error
    except (ValueError, RecursionError) as error:  # another encoding, a number of 5,000 digits, or deep
        raise DataError(f"{path} is no JSON file in UTF-8 ({error}): export it again") from error


def as_imported(images: Sequence[AnnotatedImage], source: Path, label_from: str) -> Imported:
    """Return the images as rows, with their labels and masks.

    An image's own label counts first. Without any, ``label_from`` decides: ``category``, the one
    category of its shapes, so that its mask has one structure; ``folder``, the folder that it is
    in, so that categories are mask classes. Raises DataError for images without a label, or with
    shapes of several categories, and for sizes that differ from the annotations'.
    """
    own = any(image.label is not None for image in images)
    by_category = label_from == CATEGORY and not own
    labels = [_label(image, own, by_category) for image in images]
    unknown = [image.name for image, label in zip(images, labels, strict=True) if not label]
    if unknown:
        why = "no shape that gives it a label" if by_category else "no label"
        raise DataError(f"image {first_few(unknown)} has {why}: annotate it, or remove it from the file")
    _check_categories(images, by_category)
    _check_sizes(images)
    names = [] if by_category else sorted({shape.category for image in images for shape in image.shapes if shape.draw})
    classes = MaskClasses.of(names) if len(names) > 1 else None
    rows = [
        Row(image.image, _target(image.image, source), label, image.split, drawn=_mask_of(image, classes))
        for image, label in zip(images, labels, strict=True)
    ]
    return Imported(rows, mask_classes=classes)


def _label(image: AnnotatedImage, own: bool, by_category: bool) -> str:
    if own:
        return image.label or ""
    if by_category:
        return min((shape.category for shape in image.shapes), default="")
    folder = image.image.parent.name
    return "" if folder in ("images", *SPLITS) else folder


def _check_categories(images: Sequence[AnnotatedImage], by_category: bool) -> None:
    mixed = [image for image in images if by_category and len({shape.category for shape in image.shapes}) > 1]
    if mixed:
        found = first_few(sorted({shape.category for shape in mixed[0].shapes}))
        raise DataError(
            f"image {first_few(image.name for image in mixed)} has shapes of several categories ({found}): one"
            " names the image's label; with --label-from folder its folder does, and categories are mask classes"
        )


def _check_sizes(images: Iterable[AnnotatedImage]) -> None:
    wrong = []
    for image in images:
        if image.size is not None and (size := upright_size(image.image)) != image.size:
            given = f"{image.size[0]}x{image.size[1]}"
            wrong.append(f"{image.name} is {size[0]}x{size[1]}, not {given}")
    if wrong:
        raise DataError(f"sizes differ from the annotations': {first_few(wrong)}; restore the annotated images")


def upright_size(path: Path) -> Size:
    """Return an image's (width, height), upright. Raises DataError if it cannot be read."""
    try:
        with open_image(path) as image:
            return ImageOps.exif_transpose(image).size if image.getexif() else image.size
    except DECODE_ERRORS as error:
        raise DataError(f"image {path} cannot be decoded ({error}): replace or remove it") from error


def _target(image: Path, source: Path) -> str:
    parts = image.relative_to(source).parts
    return PurePosixPath(*(parts[1:] if parts[0] == "images" and len(parts) > 1 else parts)).as_posix()


def _mask_of(image: AnnotatedImage, classes: MaskClasses | None) -> Callable[[], Image.Image] | None:
    """Return a function that draws the mask as an image; None for an image without shapes.

    Later shapes cover earlier ones.
    """
    shapes = [shape for shape in image.shapes if shape.draw is not None]
    if not shapes:
        return None

    def draw() -> Image.Image:
        size = upright_size(image.image)
        mask_HW: npt.NDArray[np.uint8] = np.zeros((size[1], size[0]), dtype=np.uint8)
        for shape in shapes:
            assert shape.draw is not None
            try:
                inside_HW = shape.draw(size)
            except ValueError as error:
                raise DataError(
                    f"{shape.where} of image {printable_name(image.name)} is {error}: correct it"
                ) from error
            mask_HW[inside_HW] = 1 if classes is None else classes.names.index(shape.category) + 1
        return Image.fromarray(mask_HW * np.uint8(255)) if classes is None else classes.picture(mask_HW)

    return draw
