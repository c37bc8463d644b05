"""Read COCO: JSON files of images, annotations and categories."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .annotated import AnnotatedImage, ImageIndex, Shape, as_imported, read_json, split_of
from .import_rows import Imported, first_few
from .shapes import Mask, Size, expand_runs, fill_polygon, read_coco_counts

_KEYS = ("images", "annotations", "categories")


def read_coco(source: Path, label_from: str) -> Imported:
    """Read every COCO file below the folder; its name or folder gives the split, if any.

    Polygons and run lengths, plain or compressed, become masks; boxes without a segmentation only
    count as labels. Raises DataError for no file, images that are missing, an unknown category or
    image, a bad segmentation, and as ``as_imported`` does.
    """
    index, images = ImageIndex(source, "COCO"), []
    for path in sorted(source.rglob("*.json")):
        content = read_json(path)
        if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in _KEYS):
            images += _read(path, content, index)
    if not images and not any(source.rglob("*.json")):
        raise DataError(f"{source} has no .json file: give the folder that holds the COCO file and the images")
    index.check()
    if not images:
        raise DataError(f"no .json file in {source} has the lists {', '.join(_KEYS)} with images: export COCO again")
    return as_imported(images, source, label_from)


def _read(path: Path, content: dict[str, Any], index: ImageIndex) -> list[AnnotatedImage]:
    try:
        categories = {item["id"]: str(item["name"]) for item in content["categories"]}
        split = split_of(path.stem) or split_of(path.parent.name)
        known = {item["id"] for item in content["images"]}
        images = {}
        for item in content["images"]:
            found = index.find(str(item["file_name"]), path, split)
            size = (int(item["width"]), int(item["height"])) if "width" in item and "height" in item else None
            if found is not None:
                images[item["id"]] = AnnotatedImage(found, str(item["file_name"]), split, size=size)
        for item in content["annotations"]:
            if item["image_id"] not in known:
                raise DataError(f"annotation {item.get('id')} of {path} is of image {item['image_id']}, which it lacks")
            if item["category_id"] not in categories:
                allowed = first_few(f"{key} ({name})" for key, name in categories.items())
                raise DataError(
                    f"annotation {item.get('id')} of {path} has the category {item['category_id']}: use {allowed}"
                )
            if item["image_id"] in images:
                images[item["image_id"]].shapes += _shapes(item, categories[item["category_id"]])
    except DataError:
        raise
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no COCO file ({type(error).__name__}: {error}): export it again") from error
    return list(images.values())


def _shapes(item: dict[str, Any], category: str) -> Iterator[Shape]:
    where, given = f"annotation {item.get('id')}", item.get("segmentation")
    if not given:
        yield Shape(category, where, None)
    elif isinstance(given, dict):
        yield Shape(category, where, _runs(given))
    else:
        yield from (Shape(category, where, polygon(numbers)) for numbers in given)


def polygon(numbers: Any) -> Callable[[Size], Mask]:
    """Return a function that fills the polygon of a flat list x, y, x, y, ... in pixels."""
    values = np.asarray(numbers, dtype=np.float64)

    def draw(size: Size) -> Mask:
        if values.ndim != 1 or values.size % 2:
            raise ValueError(f"a polygon of {values.size} numbers, which are no pairs of x and y")
        return fill_polygon(values.reshape(-1, 2), size)

    return draw


def _runs(given: dict[str, Any]) -> Callable[[Size], Mask]:
    counts = read_coco_counts(given["counts"]) if isinstance(given["counts"], str) else list(given["counts"])
    return partial(_expand, counts, (int(given["size"][1]), int(given["size"][0])))


def _expand(counts: list[int], own: Size, size: Size) -> Mask:
    if own != size:
        raise ValueError(f"a mask of {own[0]}x{own[1]}, and its image is {size[0]}x{size[1]}")
    return expand_runs(counts, size, by_columns=True)
