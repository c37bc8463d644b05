"""Read Label Studio's JSON export: choices, polygons and brushes."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from ..errors import DataError
from .annotated import AnnotatedImage, ImageIndex, Shape, as_imported, read_json
from .import_rows import Imported
from .shapes import read_brush, scaled_polygon

# An upload has eight hexadecimal digits before its name.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_PERCENT = 100.0


def read_label_studio(source: Path, label_from: str) -> Imported:
    """Read the JSON files of the folder; the images are found in it by their names.

    A choice is the image's label. Polygons and brushes become masks, and their labels are mask
    classes if images have choices. Of several annotations the last that was not cancelled counts.
    Raises DataError for no export, missing images, and as ``as_imported`` does.
    """
    index, images = ImageIndex(source, "Label Studio"), []
    for path in sorted(source.glob("*.json")):
        content = read_json(path)
        for task in content if isinstance(content, list) else []:
            if (image := _read(path, task, index)) is not None:
                images.append(image)
    index.check()
    if not images:
        raise DataError(f"{source} has no Label Studio export (JSON) with annotated images: export it as JSON")
    return as_imported(images, source, label_from)


def _read(path: Path, task: Any, index: ImageIndex) -> AnnotatedImage | None:
    """Return an annotated task; None for one without an annotation."""
    try:
        done = [each for each in task.get("annotations") or task.get("predictions") or [] if not _cancelled(each)]
        if not done:
            return None
        results = done[-1]["result"]
        name = _file_name(task, results)
        found = index.find(name, path)
        if found is None:
            return None
        image = AnnotatedImage(found, name)
        for number, result in enumerate(results, start=1):
            value = result.get("value", {})
            if result.get("type") == "choices":
                image.label = str(value["choices"][0])
            elif result.get("type") in ("polygonlabels", "brushlabels", "rectanglelabels"):
                image.size = (int(result["original_width"]), int(result["original_height"]))
                image.shapes += _shapes(value, result["type"], f"result {number}")
    except DataError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        key = task.get("id") if isinstance(task, dict) else None
        raise DataError(
            f"task {key} of {path} is no task of Label Studio ({type(error).__name__}: {error}): export it as JSON"
        ) from error
    return image


def _cancelled(annotation: dict[str, Any]) -> bool:
    return bool(annotation.get("was_cancelled"))


def _shapes(value: dict[str, Any], kind: str, where: str) -> Iterator[Shape]:
    category = str(value[kind][0])
    if kind == "brushlabels":
        yield Shape(category, where, partial(read_brush, value["rle"]))
    elif kind == "polygonlabels":
        yield Shape(category, where, scaled_polygon(np.ravel(value["points"]).tolist(), _PERCENT))
    else:
        yield Shape(category, where, None)


def _file_name(task: dict[str, Any], results: list[dict[str, Any]]) -> str:
    """Return the name of a task's image: of a URL its path, of a local file what ``d`` says."""
    key = next((result["to_name"] for result in results if result.get("to_name") in task["data"]), "image")
    address = urlsplit(str(task["data"].get(key) or next(iter(task["data"].values()), "")))
    local = parse_qs(address.query).get("d")
    name = local[0] if local else unquote(address.path)
    folder, _, last = name.rpartition("/")
    if folder.startswith("/data/upload"):
        return _UPLOAD.sub("", last)
    return name.lstrip("/") if local else last
