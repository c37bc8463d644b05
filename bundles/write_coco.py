"""Write predictions as COCO: images, categories, and a mask in run lengths for each annotation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.shapes import run_lengths, write_coco_counts
from .annotations import Annotations, write_list, written_text


def write_coco(target: Path, found: Annotations) -> None:
    """Write the predictions as a COCO file; ``file_name`` is below the folder of all images.

    The categories are the labels; of several mask classes, these are, and the label is in the entry
    of the image alone. Without masks an annotation is the box of the whole image. Raises UserError
    if a file cannot be written or read.
    """
    names = found.mask_classes or found.classes
    numbers = {name: number for number, name in enumerate(names, 1)}
    with written_text(target) as file:
        file.write('{"info": {"description": "predictions of venation"},\n"categories": ')
        file.write(json.dumps([{"id": number, "name": name} for name, number in numbers.items()]))
        file.write(',\n"images": ')
        write_list(file, _images(found))
        file.write(',\n"annotations": ')
        write_list(file, _numbered(_annotations(found, numbers)))
        file.write("}\n")


def _images(found: Annotations) -> Iterator[dict[str, Any]]:
    for number, each in enumerate(found, 1):
        width, height = each.size
        labels = {"label": each.label, "answer": each.answer, "score": each.probability}
        yield {"id": number, "file_name": each.name, "width": width, "height": height} | labels


def _annotations(found: Annotations, numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    for image, each in enumerate(found, 1):
        masks = each.masks(found.mask_classes)
        for name, mask_HW in masks.items():
            own = {} if found.mask_classes else {"score": each.probability}
            category = numbers[name if found.mask_classes else each.label]
            yield {"image_id": image, "category_id": category, "iscrowd": 0} | own | _segment(mask_HW)
        if not masks and not found.mask_classes:
            width, height = each.size
            box = {"bbox": [0, 0, width, height], "area": width * height, "segmentation": []}
            yield {"image_id": image, "category_id": numbers[each.label], "iscrowd": 0, "score": each.probability} | box


def _segment(mask_HW: NDArray[np.bool_]) -> dict[str, Any]:
    height, width = mask_HW.shape
    counts = write_coco_counts(run_lengths(mask_HW.T.ravel()))
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    box = [0, 0, 0, 0]
    if len(rows):
        box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    return {"bbox": box, "area": int(mask_HW.sum()), "segmentation": {"size": [height, width], "counts": counts}}


def _numbered(items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(items, 1):
        yield {"id": number} | item
