"""Read ultra-fine-grained sets (Cotton80, SoyLocal, ...): the release's lists or CSV files."""

import csv
from collections import Counter
from pathlib import Path

from ..errors import DataError
from .import_rows import (
    Imported,
    Row,
    csv_errors,
    distinct_names,
    first_few,
    read_lines,
    relative_name,
    require_folder,
    require_images,
    zero_padded,
)
from .samples import SPLITS

IMAGE_COLUMNS = ("dir", "image_id", "image", "path")
CLASS_COLUMNS = ("class_id", "label")
NAMES = "classid_classname.csv"


def read_ufg(source: Path) -> Imported:
    """Read a data set by its lists.

    The lists are ``train.csv``, ``val.csv`` and ``test.csv`` (or ``<prefix>_train.csv`` and so on),
    or ``anno/*.txt``. Paths are relative to ``images/``, or to the source if the first image is not
    in ``images/``. Class ids become names of equal width, or the names in
    ``classid_classname.csv``. Raises DataError for a missing list, column or image, lists of two
    data sets in one folder, a class id that is not a number, and an image that is listed twice.
    """
    lists, prefix = _find_lists(source)
    read = _read_csv if next(iter(lists.values())).suffix == ".csv" else _read_anno
    entries = [(split, name, number) for split, path in lists.items() for name, number in read(path)]
    repeated = [name for name, count in Counter(name for _, name, _ in entries).items() if count > 1]
    if repeated:
        raise DataError(
            f"the lists in {source} name {first_few(repeated)} more than once: keep each image in one split"
        )
    names = _class_names(source / f"{prefix}{NAMES}", {number for *_, number in entries})
    first = next((name for _, name, _ in entries), "")
    base = source / "images" if (source / "images" / first).is_file() else source
    rows = [Row(base / name, name, names[number], split) for split, name, number in entries]
    require_images(rows)
    return Imported(rows)


def _find_lists(source: Path) -> tuple[dict[str, Path], str]:
    """Return each split's list and their prefix. Raises DataError without train or test."""
    if (source / "anno").is_dir():
        require_folder(source, "images", "ufg")
        return _split_lists(source / "anno", "", ".txt"), ""
    if (source / "test.csv").is_file():
        return _split_lists(source, "", ".csv"), ""
    prefixes = sorted(path.name.removesuffix("test.csv") for path in source.glob("*_test.csv"))
    if len(prefixes) > 1:
        found = first_few(f"{prefix}test.csv" for prefix in prefixes)
        raise DataError(f"{source} has lists of several sets ({found}): keep one set's lists in the folder")
    prefix = prefixes[0] if prefixes else ""
    return _split_lists(source, prefix, ".csv"), prefix


def _split_lists(folder: Path, prefix: str, suffix: str) -> dict[str, Path]:
    paths = {split: folder / f"{prefix}{split}{suffix}" for split in SPLITS}
    whole = folder / f"{prefix}train_val{suffix}"
    if not paths["train"].is_file() and whole.is_file():
        paths = {"train": whole, "test": paths["test"]}
    for split in ("train", "test"):
        if not paths[split].is_file():
            needed = f"{paths[split].name}, which the ufg layout needs"
            raise DataError(f"{folder} has no {needed}: give the folder with the lists (CSV files, or anno/*.txt)")
    return {split: path for split, path in paths.items() if path.is_file()}


def _read_csv(path: Path) -> list[tuple[str, int]]:
    """Return image path and class id of every row; columns are found by name, in any order."""
    with csv_errors(path):
        reader = csv.DictReader(read_lines(path), skipinitialspace=True)
        columns = [(column or "").strip().lower() for column in reader.fieldnames or ()]
        image = next((column for column in IMAGE_COLUMNS if column in columns), None)
        label = next((column for column in CLASS_COLUMNS if column in columns), None)
        if image is None or label is None:
            lacking = (
                f"image path ({', '.join(IMAGE_COLUMNS)})" if image is None else f"class ({', '.join(CLASS_COLUMNS)})"
            )
            raise DataError(
                f"{path} has the columns {', '.join(columns) or 'none'}, none for the {lacking}: name it so"
            )
        reader.fieldnames = columns
        return [_entry(path, row[image] or "", row[label] or "") for row in reader]


def _read_anno(path: Path) -> list[tuple[str, int]]:
    """Return image name and class id of every line; the name may contain blanks, the id may not."""
    pairs = (line.rpartition(" ") for line in read_lines(path))
    return [_entry(path, name, number) for name, _, number in pairs]


def _entry(path: Path, name: str, number: str) -> tuple[str, int]:
    name, number = name.strip(), number.strip()
    if not name or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise DataError(f"{path} has image {name[:100]!r} with class {number[:20]!r}: give both, the class as a number")
    return relative_name(name, path), int(number)


def _class_names(path: Path, used: set[int]) -> dict[int, str]:
    """Return a name for each class id: from the file if it exists, else the zero-padded id."""
    if not path.is_file():
        return zero_padded(used)
    names: dict[str, str] = {}
    with csv_errors(path):
        for row in csv.DictReader(read_lines(path), skipinitialspace=True):
            if row.get("class_id") is None or not row.get("class_name"):
                raise DataError(
                    f"{path} needs the columns class_id and class_name, both filled: correct it or remove it"
                )
            names[str(row["class_id"]).strip()] = str(row["class_name"]).strip()
    absent = sorted(number for number in used if str(number) not in names)
    if absent:
        raise DataError(f"{path} has no name for class {first_few(absent)}: add it, or remove the file")
    distinct = distinct_names({str(number): names[str(number)] for number in sorted(used)})
    return {number: distinct[str(number)] for number in used}
