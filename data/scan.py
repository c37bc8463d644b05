"""Scan a folder or CSV file for samples and structural flaws, without raising for flaws."""

import os
from dataclasses import replace
from pathlib import Path

from ..errors import DataError
from .mask_classes import MASK_CLASSES, read_mask_classes
from .samples import Scan
from .scan_csv import CSV_NAME, scan_csv
from .scan_folders import scan_folders

# The code of a flaw that matters for training only.
ONE_CLASS = "one-class"


def scan_data(path: Path) -> Scan:
    """Scan a folder or CSV file. Raises DataError if it is absent, empty or unreadable."""
    path = Path(os.path.abspath(path))
    try:
        scan = _scan(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): check its permissions") from error
    _add_mask_classes(scan)
    labels = {sample.label for sample in scan.samples}
    if not scan.samples and not scan.flaws:
        scan.add_flaw("no-images", ".", f"{path} holds no images: put them in images/<class>/, or write {CSV_NAME}")
    elif len(labels) == 1 and not scan.flaws:
        only = labels.pop()
        scan.add_flaw(ONE_CLASS, ".", f"{path} holds one class ({only!r}); training needs at least two: add another")
    return scan


def _add_mask_classes(scan: Scan) -> None:
    try:
        scan.mask_classes = read_mask_classes(scan.root)
    except DataError as error:
        scan.add_flaw("bad-mask-classes", MASK_CLASSES, str(error))
    if scan.mask_classes is not None:
        scan.samples = [replace(sample, mask_classes=scan.mask_classes) for sample in scan.samples]


def _scan(path: Path) -> Scan:
    if path.is_file():
        if path.suffix.lower() != ".csv":
            raise DataError(f"{path} is a file but not a .csv: give a folder or a CSV manifest")
        return scan_csv(path)
    if not path.is_dir():
        raise DataError(f"{path} does not exist: give a folder of images or a CSV manifest")
    if next(path.iterdir(), None) is None:
        raise DataError(f"{path} is an empty folder: put images in images/<class>/, or write {CSV_NAME}")
    if (path / CSV_NAME).is_file():
        return scan_csv(path / CSV_NAME)
    return scan_folders(path)
