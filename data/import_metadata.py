"""Read an image folder with metadata.csv, as the library `datasets` of Hugging Face does."""

import csv
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError
from .import_rows import Imported, Row, csv_errors, first_few, read_lines, relative_name, require_images
from .samples import SPLITS

METADATA = "metadata.csv"
_FILE = "file_name"
_LABELS = ("label", "class", "category")


def read_metadata(source: Path, _label_from: str) -> Imported:
    """Read every metadata.csv below the folder; paths are relative to it.

    ``file_name`` names the image; ``label``, ``class`` or ``category`` the label, otherwise its
    folder; ``mask`` its mask and ``split`` its split, otherwise the folder train, val (validation)
    or test. Raises DataError for no file, no column ``file_name``, and missing images or masks.
    """
    lists = sorted(source.rglob(METADATA))
    if not lists:
        raise DataError(f"{source} has no {METADATA}: give the folder that holds it, or use the folder as it is")
    rows = [row for path in lists for row in _read(path, source)]
    require_images(rows)
    absent = [row.mask for row in rows if row.mask is not None and not row.mask.is_file()]
    if absent:
        raise DataError(f"no mask {first_few(absent)}, though {METADATA} names it: restore it, or empty its field")
    unknown = [row.name for row in rows if not row.label]
    if unknown:
        raise DataError(f"{first_few(unknown)} has no label: write it in the column `label`")
    return Imported(rows)


def _read(path: Path, source: Path) -> Iterator[Row]:
    with csv_errors(path):
        reader = csv.DictReader(read_lines(path), restval="")
        columns = list(reader.fieldnames or [])
        if _FILE not in columns:
            raise DataError(f"{path} has the columns {first_few(columns)} and no `{_FILE}`: add it")
        label = next((name for name in _LABELS if name in columns), None)
        for record in reader:
            yield _row(record, label, path, source)


def _row(record: dict[str, str], label_column: str | None, path: Path, source: Path) -> Row:
    name = relative_name(record[_FILE].strip(), path)
    image = path.parent / name
    below = image.relative_to(source)
    if not below.parts:
        raise DataError(f"{path} has a line without a `{_FILE}`: name the image, or remove the line")
    folder = image.parent.name if len(below.parts) > 1 else ""
    label = record[label_column].strip() if label_column else folder
    if label in (*SPLITS, "validation", "images") and not label_column:
        label = ""
    mask = record.get("mask", "").strip()
    return Row(
        image,
        below.as_posix(),
        label,
        _split(record.get("split", "") or below.parts[0]),
        mask=path.parent / relative_name(mask, path) if mask else None,
    )


def _split(text: str) -> str:
    name = {"validation": "val", "valid": "val"}.get(text.strip(), text.strip())
    return name if name in SPLITS else ""
