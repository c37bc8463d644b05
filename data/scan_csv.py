"""Scan a CSV manifest, also one that another operating system or a spreadsheet program wrote."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TextIO

from .names import FileFinder
from .samples import SPLITS, Sample, Scan, relative_key

CSV_NAME = "manifest.csv"
CSV_COLUMNS = ("image", "label", "mask", "split", "group")
_SEPARATORS = (",", ";", "\t")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def scan_csv(path: Path) -> Scan:
    """Return the samples and flaws of a CSV manifest."""
    scan = Scan(path.parent)
    if _is_utf16(path):
        message = f"{path.name} is UTF-16 text, and UTF-8 is read: save it as UTF-8 (spreadsheets: `CSV UTF-8`)"
        scan.add_flaw("bad-csv", path.name, message)
        return scan
    rows = _RowScanner(scan, path.name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in _rows(scan, file, path.name):
                rows.add(line, row)
    except (csv.Error, UnicodeDecodeError) as error:
        scan.add_flaw("bad-csv", path.name, f"{path.name} is not a UTF-8 CSV file ({error}): save it as one")
    rows.flag_absolute_paths()
    _flag_repeated(scan, path.name)
    return scan


def _is_utf16(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(len(CSV_COLUMNS[0]) * 2)
    halves = start[::2], start[1::2]
    return start.startswith(_UTF16_MARKS) or any(half and not half.strip(b"\0") for half in halves)


def _separator(header: str) -> str:
    """Return the character that separates the columns of the header; by default the comma."""
    return max(_SEPARATORS, key=header.count)


def _rows(scan: Scan, file: TextIO, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows with their line numbers; record a flaw for each malformed row."""
    separator = _separator(file.readline())
    file.seek(0)
    reader = csv.DictReader(file, delimiter=separator)
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
            message = (
                f"line {reader.line_num} of {name} has more fields than columns: quote fields with a {separator!r}"
            )
            scan.add_flaw("bad-row", name, message)
        else:
            yield reader.line_num, {column: (value or "").strip() for column, value in row.items()}


class _RowScanner:
    """Adds rows of a manifest to a scan, as samples or flaws."""

    def __init__(self, scan: Scan, name: str) -> None:
        self._scan = scan
        self._name = name
        self._finder = FileFinder(scan.root)
        self._absolute: list[tuple[int, str]] = []

    def add(self, line: int, row: dict[str, str]) -> None:
        """Add one row as a sample, or as a flaw."""
        where = f"line {line}"
        if not row["image"] or not row["label"]:
            self._scan.add_flaw("bad-row", where, f"{where} lacks an image or a label: fill both")
            return
        split = row.get("split") or None
        if split not in (None, *SPLITS):
            self._scan.add_flaw(
                "bad-split", where, f"{where} has split {split!r}: use one of {', '.join(SPLITS)}, or leave it empty"
            )
            return
        files = {}
        for column in ("image", "mask"):
            if name := row.get(column):
                path = self._file(line, name)
                if path is None:
                    return
                files[column] = path
        image = files["image"]
        group = row.get("group") or relative_key(image, self._scan.root)
        self._scan.samples.append(Sample(image, row["label"], files.get("mask"), group, split))

    def _file(self, line: int, name: str) -> Path | None:
        """Return the file that a row names; None with a flaw if there is not exactly one."""
        where, windows = f"line {line}", PureWindowsPath(name)
        if windows.drive or windows.root:
            self._absolute.append((line, name))
            return None
        if ".." in windows.parts:
            message = f"{where} names {name!r}, outside the CSV's folder: use a path relative to it"
            self._scan.add_flaw("outside", where, message)
            return None
        found = self._finder.find(name)
        if not found:
            self._scan.add_flaw("missing-file", name, f"{where}: no file {name}")
        elif len(found) > 1:
            names = ", ".join(ascii(relative_key(path, self._scan.root)) for path in found)
            message = f"{where} names {ascii(name)}, which may be {names}: write one of these names, or rename a file"
            self._scan.add_flaw("ambiguous", where, message)
        return found[0] if len(found) == 1 else None

    def flag_absolute_paths(self) -> None:
        """Record one flaw for all absolute paths, with the path to write in place of the first."""
        if not self._absolute:
            return
        line, name = self._absolute[0]
        relative = _relative_part(name, self._finder)
        advice = f"write {relative} and so on" if relative else "copy the files there, and write their paths in it"
        message = (
            f"line {line} names {name!r}, and paths are relative to the CSV's folder"
            f" ({len(self._absolute)} absolute in all): {advice}"
        )
        self._scan.add_flaw("absolute-path", self._name, message)


def _relative_part(name: str, finder: FileFinder) -> str | None:
    """Return the longest end of an absolute path that is one file below the CSV's folder."""
    parts = PureWindowsPath(name).parts[1:]
    ends = (PurePosixPath(*parts[start:]).as_posix() for start in range(len(parts)))
    return next((end for end in ends if ".." not in parts and len(finder.find(end)) == 1), None)


def _flag_repeated(scan: Scan, name: str) -> None:
    keys = [relative_key(sample.image, scan.root) for sample in scan.samples]
    for key, count in Counter(keys).items():
        if count > 1:
            scan.add_flaw("repeated", key, f"{name} lists {key} {count} times: keep one row per image")
