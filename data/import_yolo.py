"""Read YOLO: text files of polygons beside the images with data.yaml, or folders of classes."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError, UserError
from .annotated import AnnotatedImage, Shape, as_imported, split_of
from .import_rows import Imported, first_few, read_lines
from .scan_folders import IMAGE_EXTENSIONS
from .shapes import scaled_polygon
from .yaml_file import parse_yaml

_YAML = ("data.yaml", "data.yml", "dataset.yaml")
_SPLITS = ("train", "val", "valid", "test")
_BOX = 4  # numbers after the class


def read_yolo(source: Path, label_from: str) -> Imported:
    """Read a YOLO data set; lines of a class and four numbers are boxes, which have no mask.

    With ``data.yaml``, ``labels/`` in place of the last ``images/`` of an image's path holds its
    text file. Without, the folders train, val (or valid) and test hold a folder for each class.
    Raises DataError for missing folders, an unknown class and lines that are no polygon.
    """
    listing = next((source / name for name in _YAML if (source / name).is_file()), None)
    if listing is None:
        images = [
            AnnotatedImage(path, path.name, split_of(folder.name), path.parent.name)
            for folder in (source / name for name in _SPLITS)
            for path in _images(folder, "*/*")
        ]
        if not images:
            raise DataError(
                f"{source} has neither {_YAML[0]} nor train/<class>/ with images: give the folder of the YOLO set"
            )
        return as_imported(images, source, label_from)
    content = _read_yaml(listing)
    names = content["names"]
    classes = {str(key): str(name) for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}
    images = []
    for split in _SPLITS:
        for place in _folders(content.get(split)):
            folder = _find_folder(source, content, place, listing)
            for path in _images(folder, "**/*"):
                image = AnnotatedImage(path, path.relative_to(source).as_posix(), split_of(split))
                image.shapes += _read_shapes(_text_file(path), classes)
                images.append(image)
    if not images:
        raise DataError(f"the folders that {listing} names hold no images: copy them there")
    return as_imported(images, source, label_from)


def _images(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file())


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(path)
    except UserError as error:
        raise DataError(f"{path} {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("names"), dict | list):
        raise DataError(f"{path} has no `names` of the classes: add them as a list")
    return content


def _folders(given: Any) -> list[str]:
    return [str(each) for each in (given if isinstance(given, list) else [given]) if each]


def _find_folder(source: Path, content: dict[str, Any], place: str, listing: Path) -> Path:
    """Return the folder of a split; paths of another machine are looked up by their last parts."""
    parts = [part for part in PurePosixPath(place.replace("\\", "/")).parts if part not in ("..", ".", "/")]
    inside = PurePosixPath(str(content.get("path", ""))).name
    for start in (source, source / inside):
        for first in range(len(parts)):
            if (found := start.joinpath(*parts[first:])).is_dir():
                return found
    raise DataError(f"{listing} names the folder {place!r}, which {source} does not have: copy it there")


def _text_file(image: Path) -> Path:
    parts = list(image.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _read_shapes(path: Path, classes: dict[str, str]) -> Iterator[Shape]:
    if not path.is_file():
        return
    for number, line in enumerate(read_lines(path), start=1):
        key, *rest = line.split()
        where = f"line {number} of {path.name}"
        if key not in classes:
            allowed = first_few(f"{key} ({name})" for key, name in classes.items())
            raise DataError(f"line {number} of {path} has the class {key!r}: use {allowed}")
        try:
            values = [float(each) for each in rest]
        except ValueError as error:
            raise DataError(
                f"line {number} of {path} has a field that is no number: write class x y x y ..."
            ) from error
        if len(values) % 2 or len(values) < _BOX:
            raise DataError(
                f"line {number} of {path} has {len(values)} numbers: a polygon has three or more pairs x y, a box four"
            )
        yield Shape(classes[key], where, None if len(values) == _BOX else scaled_polygon(values, 1.0))
