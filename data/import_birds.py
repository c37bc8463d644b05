"""Read CUB-200-2011 and NABirds: lists by image id, boxes, official splits, coarse groups."""

import math
from pathlib import Path

from ..errors import DataError
from .import_rows import (
    Box,
    Imported,
    Row,
    distinct_names,
    first_few,
    read_pairs,
    relative_name,
    require_file,
    require_folder,
    require_images,
    require_same_keys,
)

SPLIT_OF_FLAG = {"1": "train", "0": "test"}


def read_cub(source: Path, *, boxes: bool) -> Imported:
    """Read CUB-200-2011.

    Classes keep their full names; the coarse group is a name's last word (Albatross). Masks come
    from ``segmentations/`` if that folder exists. They are ``soft``: grey values that average
    annotators. Raises DataError for a missing list or image, lists that disagree, and a
    segmentations folder that matches no image.
    """
    rows = _read_lists(source, "cub", boxes=boxes)
    names = read_pairs(require_file(source, "classes.txt", "cub"))
    _require_names({row.label for row in rows}, names)
    masks = source / "segmentations"
    named = []
    for row in rows:
        mask = (masks / row.name).with_suffix(".png")
        found = mask if mask.is_file() else None
        named.append(Row(row.image, row.name, names[row.label], row.split, mask=found, soft=True, box=row.box))
    if masks.is_dir() and not any(row.mask for row in named):
        raise DataError(f"{masks} has no <class>/<image stem>.png of any image: extract the segmentations again")
    coarse = {row.label: row.label.partition(".")[2].rpartition("_")[2] or row.label for row in named}
    return Imported(named, coarse)


def read_nabirds(source: Path, *, boxes: bool) -> Imported:
    """Read NABirds.

    The classes are the names of those with images; the coarse group is the parent's name. If two
    classes share a name, the class id is added to it. Raises DataError for a missing list or image,
    lists that disagree, and a class without a parent.
    """
    rows = _read_lists(source, "nabirds", boxes=boxes)
    names = read_pairs(require_file(source, "classes.txt", "nabirds"))
    parents = read_pairs(require_file(source, "hierarchy.txt", "nabirds"))
    used = sorted({row.label for row in rows})
    _require_names(used, names)
    orphans = [label for label in used if parents.get(label) not in names]
    if orphans:
        raise DataError(
            f"hierarchy.txt gives class {first_few(orphans)} no parent that classes.txt names: restore both"
        )
    labels = distinct_names({label: names[label] for label in used})
    groups = distinct_names({parents[label]: names[parents[label]] for label in used})
    named = [Row(row.image, row.name, labels[row.label], row.split, box=row.box) for row in rows]
    return Imported(named, {labels[label]: groups[parents[label]] for label in used})


def _read_lists(source: Path, layout: str, *, boxes: bool) -> list[Row]:
    """Read the lists that both data sets have, as rows whose label is still the class id."""
    folder = require_folder(source, "images", layout)
    listing = require_file(source, "images.txt", layout)
    files = read_pairs(listing)
    tables = {}
    for name in ("image_class_labels.txt", "train_test_split.txt", *(["bounding_boxes.txt"] if boxes else [])):
        tables[name] = read_pairs(require_file(source, name, layout))
        require_same_keys(("images.txt", files), (name, tables[name]))
    labels, flags = tables["image_class_labels.txt"], tables["train_test_split.txt"]
    strange = [key for key, flag in flags.items() if flag not in SPLIT_OF_FLAG]
    if strange:
        raise DataError(f"train_test_split.txt has neither 1 (train) nor 0 (test) for {first_few(strange)}: correct it")
    rows = []
    for key, file in files.items():
        name = relative_name(file, listing)
        box = _box(key, tables["bounding_boxes.txt"][key]) if boxes else None
        rows.append(Row(folder / name, name, labels[key], SPLIT_OF_FLAG[flags[key]], box=box))
    require_images(rows)
    return rows


def _box(key: str, text: str) -> Box:
    try:
        box = Box(*map(float, text.split()))
    except (TypeError, ValueError):
        box = Box(0, 0, 0, 0)
    if not all(map(math.isfinite, box)) or box.width <= 0 or box.height <= 0:
        raise DataError(f"bounding_boxes.txt has {text!r} for image {key}: give left, top, width, height in pixels")
    return box


def _require_names(used: set[str] | list[str], names: dict[str, str]) -> None:
    absent = sorted(set(used) - set(names))
    if absent:
        raise DataError(f"classes.txt has no name for class {first_few(absent)}: restore it")
