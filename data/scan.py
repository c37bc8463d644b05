"""Scan a folder or CSV file for samples and structural flaws, without raising for flaws."""

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeAlias

from ..errors import DataError

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
SPLITS = ("train", "val", "test")
CSV_NAME = "manifest.csv"
CSV_COLUMNS = ("image", "label", "mask", "split", "group")
_MISNAMED_SPLITS = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}

_MaskFinder: TypeAlias = Callable[[Path, str, str | None], Path | None]


@dataclass(frozen=True)
class Sample:
    """One image with its label, mask, group and split.

    Samples of one ``group`` (one plant, one eye) stay in one split.
    """

    image: Path
    label: str
    mask: Path | None
    group: str
    split: str | None


@dataclass(frozen=True)
class Flaw:
    """A structural problem: a code, the path or line of the problem, and a one-line message."""

    code: str
    path: str
    message: str


@dataclass
class Scan:
    """The result of a scan; ``folders`` are those that should contain only images or only masks."""

    root: Path
    samples: list[Sample] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def add_flaw(self, code: str, path: str, message: str) -> None:
        """Record a structural problem."""
        self.flaws.append(Flaw(code, path, message))


def relative_key(path: Path, root: Path) -> str:
    """Return the path relative to the root, with ``/`` on every platform."""
    return path.relative_to(root).as_posix()


def scan_data(path: Path) -> Scan:
    """Scan a folder or CSV file. Raises DataError if it is absent, empty or unreadable."""
    path = Path(os.path.abspath(path))
    try:
        scan = _scan(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from error
    labels = {sample.label for sample in scan.samples}
    if not scan.samples and not scan.flaws:
        scan.add_flaw("no-images", ".", f"{path} holds no images: put them in images/<class>/, or write {CSV_NAME}")
    elif len(labels) == 1 and not scan.flaws:
        only = labels.pop()
        scan.add_flaw("one-class", ".", f"{path} holds one class ({only!r}); at least two are needed: add another")
    return scan


def _scan(path: Path) -> Scan:
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise DataError(f"{path} is a file but not a .csv: give a folder or a CSV manifest")
        return _scan_csv(path)
    if not path.is_dir():
        raise DataError(f"{path} does not exist: give a folder of images or a CSV manifest")
    if next(path.iterdir(), None) is None:
        raise DataError(f"{path} is an empty folder: put images in images/<class>/, or write {CSV_NAME}")
    if (path / CSV_NAME).is_file():
        return _scan_csv(path / CSV_NAME)
    return _scan_folders(path)


# Folders


def _scan_folders(root: Path) -> Scan:
    scan = Scan(root)
    base = root / "images" if (root / "images").is_dir() else root
    masks = root / "masks"
    if masks.is_dir():
        scan.folders.append(masks)
    find_mask = _mask_finder(masks)
    names = [folder.name for folder in visible_folders(base)]
    if any(name in SPLITS for name in names):
        _flag_misnamed_splits(scan, base, names)
        for split in (name for name in SPLITS if name in names):
            scan.folders.append(base / split)
            _scan_classes(scan, base / split, split, find_mask)
    else:
        _scan_classes(scan, base, None, find_mask)
        scan.folders += [base] if base != root else [f for f in visible_folders(root) if f != masks]
    _flag_unused_masks(scan, masks)
    return scan


def _scan_classes(scan: Scan, base: Path, split: str | None, find_mask: _MaskFinder) -> None:
    for folder in visible_folders(base):
        if folder == scan.root / "masks":
            continue
        for image in visible_images(folder):
            mask = find_mask(image, folder.name, split)
            scan.samples.append(Sample(image, folder.name, mask, relative_key(image, scan.root), split))
    loose = len(visible_images(base))
    if loose and (split or base != scan.root):
        name = relative_key(base, scan.root)
        scan.add_flaw(
            "no-class", name, f"{loose} images directly in {name}/ have no class: move them to {name}/<class>/"
        )


def _mask_finder(masks: Path) -> _MaskFinder:
    @cache
    def by_stem(folder: Path) -> dict[str, Path]:
        found = visible_images(folder) if folder.is_dir() else []
        # A PNG takes precedence over other files of the same stem: it is the documented format.
        return {path.stem: path for path in sorted(found, key=lambda path: path.suffix.lower() == ".png")}

    def find(image: Path, label: str, split: str | None) -> Path | None:
        mask = by_stem(masks / split / label).get(image.stem) if split else None
        return mask or by_stem(masks / label).get(image.stem)

    return find


def _flag_misnamed_splits(scan: Scan, base: Path, names: list[str]) -> None:
    for name in names:
        if name.lower() in _MISNAMED_SPLITS and name not in SPLITS:
            where, right = relative_key(base / name, scan.root), _MISNAMED_SPLITS[name.lower()]
            scan.add_flaw(
                "bad-split", where, f"folder {where}/ is not one of {', '.join(SPLITS)}: rename it to {right}/"
            )


def _flag_unused_masks(scan: Scan, masks: Path) -> None:
    if not scan.samples or any(sample.mask for sample in scan.samples) or not masks.is_dir():
        return
    strays = sum(path.suffix.lower() in IMAGE_EXTENSIONS for path in masks.rglob("*"))
    if strays:
        message = f"none of {strays} files in masks/ is named after an image: name them masks/<class>/<image stem>.png"
        scan.add_flaw("no-mask-matches", "masks", message)


def visible_folders(folder: Path) -> list[Path]:
    """Return the subfolders whose names do not begin with a dot, sorted."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())


def visible_images(folder: Path) -> list[Path]:
    """Return the image files directly in the folder, by extension, without hidden ones, sorted."""
    return sorted(path for path in folder.iterdir() if _is_image(path))


def _is_image(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()


# CSV


def _scan_csv(path: Path) -> Scan:
    scan = Scan(path.parent)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in _rows(scan, csv.DictReader(file), path.name):
                _scan_row(scan, line, row)
    except (csv.Error, UnicodeDecodeError) as error:
        scan.add_flaw("bad-csv", path.name, f"{path.name} is not a UTF-8 CSV file ({error}): save it as one")
    _flag_repeated(scan, path.name)
    return scan


def _rows(scan: Scan, reader: "csv.DictReader[str]", name: str) -> Iterator[tuple[int, dict[str, str]]]:
    columns = [(column or "").strip() for column in reader.fieldnames or ()]
    unknown = [column for column in columns if column not in CSV_COLUMNS or columns.count(column) > 1]
    missing = [column for column in CSV_COLUMNS[:2] if column not in columns]
    if unknown or missing:
        problem = f"unknown or repeated column {unknown[0]!r}" if unknown else f"no column {missing[0]!r}"
        allowed = "image, label and optionally mask, split, group"
        scan.add_flaw("bad-columns", name, f"{name} has {problem}: its columns are {allowed}")
        return
    reader.fieldnames = columns
    for row in reader:
        if None in row:
            scan.add_flaw(
                "bad-row", name, f"line {reader.line_num} of {name} has more fields than columns: quote its commas"
            )
        else:
            yield reader.line_num, {column: (value or "").strip() for column, value in row.items()}


def _scan_row(scan: Scan, line: int, row: dict[str, str]) -> None:
    """Add one row as a sample, or as a flaw."""
    where = f"line {line}"
    if not row["image"] or not row["label"]:
        scan.add_flaw("bad-row", where, f"{where} lacks an image or a label: fill both")
        return
    split, mask = row.get("split") or None, row.get("mask") or None
    if split not in (None, *SPLITS):
        scan.add_flaw(
            "bad-split", where, f"{where} has split {split!r}: use one of {', '.join(SPLITS)}, or leave it empty"
        )
        return
    for name in filter(None, (row["image"], mask)):
        if _leaves_root(name):
            scan.add_flaw(
                "outside", where, f"{where} names {name!r}, outside the CSV's folder: use a path relative to it"
            )
            return
        if not (scan.root / name).is_file():
            scan.add_flaw("missing-file", name, f"{where}: no file {name}")
            return
    image = scan.root / PurePosixPath(row["image"])
    group = row.get("group") or relative_key(image, scan.root)
    scan.samples.append(Sample(image, row["label"], scan.root / mask if mask else None, group, split))


def _leaves_root(name: str) -> bool:
    windows = PureWindowsPath(name)
    return bool(windows.drive or windows.root) or ".." in windows.parts


def _flag_repeated(scan: Scan, name: str) -> None:
    keys = [relative_key(sample.image, scan.root) for sample in scan.samples]
    for key, count in Counter(keys).items():
        if count > 1:
            scan.add_flaw("repeated", key, f"{name} lists {key} {count} times: keep one row per image")
