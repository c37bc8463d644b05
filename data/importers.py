"""Import data sets of known layouts as ``images/``, ``masks/`` and ``manifest.csv``."""

import csv
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import DataError, UsageError
from .annotated import CATEGORY, FOLDER
from .images import DECODE_ERRORS, open_image, read_image, to_rgb
from .import_birds import read_cub, read_nabirds
from .import_coco import read_coco
from .import_cvat import read_cvat
from .import_label_studio import read_label_studio
from .import_metadata import read_metadata
from .import_mganet import read_mganet
from .import_rows import Box, Imported, Row, first_few
from .import_ufg import read_ufg
from .import_yolo import read_yolo
from .manifest import load_manifest
from .mask_classes import MASK_CLASSES, mask_classes_text
from .scan_csv import CSV_COLUMNS, CSV_NAME

# Exports of annotation tools.
TOOLS: dict[str, Callable[[Path, str], Imported]] = {
    "coco": read_coco,
    "yolo": read_yolo,
    "label-studio": read_label_studio,
    "cvat": read_cvat,
    "imagefolder": read_metadata,
}
LAYOUTS = ("mganet", "cub", "nabirds", "ufg", *TOOLS)
LAYOUTS_WITH_BOXES = ("cub", "nabirds")
GROUPS_NAME = "groups.json"
_JPEG = (".jpg", ".jpeg")


def import_data(
    layout: str,
    source: Path,
    out: Path,
    *,
    crop_boxes: bool = False,
    margin: float = 0.1,
    label_from: str = CATEGORY,
) -> Path:
    """Write ``out`` with the images, masks and manifest of ``source``; return the manifest's path.

    Unchanged files become hard links to the source's files if the file system allows it, else
    copies. Crops and binarised soft masks are new files. If the layout has coarse groups,
    ``groups.json`` maps each class to its group. ``crop_boxes`` crops image and mask to the
    bounding box, widened on each side by ``margin`` of its width or height. The folder is written
    under a temporary name, loaded once as a check, and then renamed: it is complete or absent.
    ``label_from`` is that of ``as_imported``, for the exports of annotation tools.

    Raises UsageError for an unknown layout, cropping in a layout without boxes, a negative margin,
    or an unknown ``label_from``. Raises DataError if ``out`` exists and is not an empty folder, a
    file of the layout is missing or damaged, or a file cannot be read or written.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"{layout!r} is not a known layout: choose one of {', '.join(LAYOUTS)}")
    if crop_boxes and layout not in LAYOUTS_WITH_BOXES:
        raise UsageError(
            f"the {layout} layout has no bounding boxes to crop to: only {' and '.join(LAYOUTS_WITH_BOXES)} have"
        )
    if label_from not in (CATEGORY, FOLDER):
        raise UsageError(f"labels cannot come from {label_from!r}: choose {CATEGORY} or {FOLDER}")
    if not (math.isfinite(margin) and margin >= 0):
        raise UsageError(f"margin is {margin}, but a crop is widened by a share of its box: give 0 or more")
    source, out = source.resolve(), out.resolve()
    if not source.is_dir():
        raise DataError(f"{source} is not a folder: give the folder that holds the {layout} set")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder: name a new folder")
    try:
        imported = _read(layout, source, crop_boxes=crop_boxes, label_from=label_from)
        _check(imported.rows, source)
        _publish(imported, out, margin)
    except OSError as error:
        where = error.filename or out
        raise DataError(f"{where}: {error.strerror or error}; check permissions and free space") from error
    return out / CSV_NAME


def _read(layout: str, source: Path, *, crop_boxes: bool, label_from: str) -> Imported:
    match layout:
        case "mganet":
            return read_mganet(source)
        case "cub":
            return read_cub(source, boxes=crop_boxes)
        case "nabirds":
            return read_nabirds(source, boxes=crop_boxes)
        case "ufg":
            return read_ufg(source)
        case _:
            return TOOLS[layout](source, label_from)


def _check(rows: list[Row], source: Path) -> None:
    """Raise DataError for fewer than two classes, and for files that get the same name."""
    labels = {row.label for row in rows}
    if len(labels) < 2:
        raise DataError(f"{source} has {len(rows)} images of {len(labels)} classes; at least two are needed: check it")
    counts = Counter(name for row in rows for name in (_image_name(row), _mask_name(row)) if name)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise DataError(f"two files of {source} would become {first_few(repeated)}: rename one of each")


def _image_name(row: Row) -> str:
    """Return the image's path in the new data set. Crops are PNGs unless the source is a JPEG."""
    path = PurePosixPath("images", row.name)
    return (path if row.box is None or path.suffix.lower() in _JPEG else path.with_suffix(".png")).as_posix()


def _mask_name(row: Row) -> str:
    """Return the mask's path in the new data set, empty without one. Soft masks become PNGs."""
    if row.drawn is not None:
        return PurePosixPath("masks", row.name).with_suffix(".png").as_posix()
    if row.mask is None:
        return ""
    path = PurePosixPath("masks", row.name).with_name(row.mask.name)
    return (path.with_suffix(".png") if row.soft else path).as_posix()


def _publish(imported: Imported, out: Path, margin: float) -> None:
    staging = out.parent / f".{out.name}.{uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        for row in imported.rows:
            _write_row(row, staging, margin)
        _write_lists(imported, staging)
        load_manifest(staging)
        os.replace(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_lists(imported: Imported, staging: Path) -> None:
    if imported.coarse:
        text = json.dumps(imported.coarse, indent=1, sort_keys=True, ensure_ascii=False)
        (staging / GROUPS_NAME).write_text(text + "\n", encoding="utf-8")
    if imported.mask_classes is not None:
        (staging / MASK_CLASSES).write_text(mask_classes_text(imported.mask_classes), encoding="utf-8")
    # The group column stays empty: no layout says which images must stay in one split.
    lines = [(_image_name(row), row.label, _mask_name(row), row.split, "") for row in imported.rows]
    try:
        with (staging / CSV_NAME).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([CSV_COLUMNS, *sorted(lines)])
    except UnicodeEncodeError as error:
        raise DataError("a file name of the source is not UTF-8: rename it") from error


def _write_row(row: Row, staging: Path, margin: float) -> None:
    """Put the row's image and mask into the folder: linked if unchanged, else written."""
    image_to, mask_to = staging / _image_name(row), staging / _mask_name(row)
    image_to.parent.mkdir(parents=True, exist_ok=True)
    if row.mask is not None or row.drawn is not None:
        mask_to.parent.mkdir(parents=True, exist_ok=True)
    if row.box is not None:
        _write_crop(row, row.box, (image_to, mask_to), margin)
        return
    _link(row.image, image_to)
    if row.drawn is not None:
        row.drawn().save(mask_to)
    if row.mask is not None and row.soft:
        _write_mask(_read_soft_mask(row.mask), mask_to)
    elif row.mask is not None:
        _link(row.mask, mask_to)


def _write_crop(row: Row, box: Box, targets: tuple[Path, Path], margin: float) -> None:
    image = Image.fromarray(read_image(row.image))
    left, top, right, bottom = _crop_bounds(box, image.size, margin, row.image)
    # Crops of JPEGs stay near-lossless JPEGs: tens of thousands of PNG crops would fill a disk.
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if targets[0].suffix.lower() in _JPEG else {}
    image.crop((left, top, right, bottom)).save(targets[0], **options)
    if row.mask is None:
        return
    mask = _read_soft_mask(row.mask)
    if mask.shape != (image.height, image.width):
        given = f"{mask.shape[1]}x{mask.shape[0]}"
        raise DataError(f"mask {row.mask} is {given} but its image is {image.width}x{image.height}: make them the same")
    _write_mask(mask[top:bottom, left:right], targets[1])


def _write_mask(mask: npt.NDArray[np.uint8], target: Path) -> None:
    Image.fromarray(mask * np.uint8(255)).save(target)


def _link(source: Path, target: Path) -> None:
    """Hard-link the source's real file (never a symlink); copy it where links are impossible."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _crop_bounds(box: Box, size: tuple[int, int], margin: float, image: Path) -> tuple[int, int, int, int]:
    """Return the widened box, clipped to the image, as left, top, right, bottom in pixels.

    Raises DataError if the box is outside the image.
    """
    across, down = margin * box.width, margin * box.height
    left, top = max(0, math.floor(box.left - across)), max(0, math.floor(box.top - down))
    right = min(size[0], math.ceil(box.left + box.width + across))
    bottom = min(size[1], math.ceil(box.top + box.height + down))
    if left >= right or top >= bottom:
        raise DataError(f"the box of {image} is outside its {size[0]}x{size[1]} pixels: correct bounding_boxes.txt")
    return left, top, right, bottom


def _read_soft_mask(path: Path) -> npt.NDArray[np.uint8]:
    """Read a grey mask as an array H x W of {0, 1}: 1 from half its brightest value on.

    CUB-200-2011's segmentations average annotators, so non-zero would include pixels that only one
    of them marked.
    """
    try:
        with open_image(path) as image:
            grey = np.asarray(to_rgb(ImageOps.exif_transpose(image)).convert("L"))
    except DECODE_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"mask {path} cannot be decoded ({reason}): replace or remove it") from error
    half = (int(grey.max()) + 1) // 2
    return (grey >= max(half, 1)).astype(np.uint8)
