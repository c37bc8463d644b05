"""Read "CVAT for images 1.1": an XML file of tags, polygons and masks."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ..errors import DataError
from .annotated import AnnotatedImage, ImageIndex, Shape, as_imported, split_of
from .import_rows import Imported, first_few
from .shapes import Mask, Size, expand_runs, fill_polygon


def read_cvat(source: Path, label_from: str) -> Imported:
    """Read the XML files of the folder.

    A tag is the image's label. Polygons and masks become masks, and their labels are mask classes
    if images have tags; boxes and other shapes have no mask. Raises DataError for no file, damaged
    XML, a label that the file's list lacks, missing images, and as ``as_imported`` does.
    """
    index = ImageIndex(source, "CVAT")
    images: list[AnnotatedImage] = []
    for path in sorted(source.rglob("*.xml")):
        images += _read(path, index)
    index.check()
    if not images:
        raise DataError(f"{source} has no XML file of images: export as `CVAT for images 1.1`")
    return as_imported(images, source, label_from)


def _read(path: Path, index: ImageIndex) -> Iterator[AnnotatedImage]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): export it again") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{path} declares a document type, which CVAT does not write: export it again")
    try:
        # Without a document type there are no entities to expand.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is no XML: {error}; export it again") from error
    allowed = {name.text or "" for name in root.iterfind("meta//labels/label/name")}
    for item in root.iterfind("image"):
        try:
            split = split_of(item.get("subset", ""))
            found = index.find(item.attrib["name"], path, split)
            if found is not None:
                size = (int(item.attrib["width"]), int(item.attrib["height"]))
                image = AnnotatedImage(found, item.attrib["name"], split, size=size)
                _add_children(image, item, allowed, path)
                yield image
        except DataError:
            raise
        except (ArithmeticError, KeyError, ValueError) as error:
            raise DataError(
                f"image {item.get('name')} of {path} is not as CVAT writes it ({type(error).__name__}: {error}): export"
                " it again"
            ) from error


def _add_children(image: AnnotatedImage, item: Element, allowed: set[str], path: Path) -> None:
    for number, child in enumerate(item, start=1):
        label = child.get("label")
        if label is None:
            continue
        if allowed and label not in allowed:
            raise DataError(f"image {image.name} of {path} has the label {label!r}: use {first_few(sorted(allowed))}")
        if child.tag == "tag":
            image.label = label
        else:
            draw = {"polygon": _polygon, "mask": _runs}.get(child.tag)
            image.shapes.append(Shape(label, f"{child.tag} {number}", draw(child) if draw else None))


def _polygon(shape: Element) -> Callable[[Size], Mask]:
    points = [[float(each) for each in point.split(",")] for point in shape.attrib["points"].split(";") if point]
    points_P2 = np.array(points, dtype=np.float64).reshape(len(points), 2)
    return lambda size: fill_polygon(points_P2, size)


def _runs(shape: Element) -> Callable[[Size], Mask]:
    left, top, width, height = (int(float(shape.attrib[name])) for name in ("left", "top", "width", "height"))
    counts = [int(each) for each in shape.attrib["rle"].split(",")]

    def draw(size: Size) -> Mask:
        if min(left, top) < 0 or left + width > size[0] or top + height > size[1]:
            raise ValueError(f"a mask that leaves its image of {size[0]}x{size[1]}")
        mask_HW = np.zeros((size[1], size[0]), dtype=np.bool_)
        mask_HW[top : top + height, left : left + width] = expand_runs(counts, (width, height), by_columns=False)
        return mask_HW

    return draw
