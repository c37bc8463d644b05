"""The table of predictions: a row is written as soon as it is known, and a later run goes on."""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import UserError
from ..escaping import table_cell
from .output_files import unwritable
from .picture_files import PICTURES

PREDICTIONS = "predictions.csv"
# The first columns, by which a table is known as ours.
COLUMNS = ("path", "label", "probability", "mask_share", "top")
# The beginning of the columns that have the probability of a class.
CLASS_COLUMN = "probability/"
# No line is longer: the names and numbers of 20,000 classes.
_LONGEST_LINE = 1 << 20


class PredictionTable:
    """A CSV file that grows by one line for each image.

    Every line is written at once, so a run that is killed loses at most the line that it writes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._columns: list[str] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row. Raises UserError if that fails; the table then ends as before."""
        line = encoded(as_csv([row], header=not self._columns))
        try:
            if self._file is None:
                self._file = self._open()
            end = self._file.seek(0, os.SEEK_END)
            try:
                left = memoryview(line)
                while left:
                    left = left[self._file.write(left) :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(end)
                raise
        except OSError as error:
            raise unwritable(self._path, error) from None
        self._columns = self._columns or list(row)

    def _open(self) -> BinaryIO:
        if not self._columns:
            # A link is replaced, not what it leads to.
            self._path.unlink(missing_ok=True)
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self._path.open("ab", buffering=0)

    def resume(self) -> Iterator[dict[str, str]]:
        """Yield the rows of an earlier run, which stay; a last line without an end is cut off.

        Raises UserError for a table of another kind, or with a damaged line.
        """
        try:
            self._cut()
            with self._path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                columns = list(reader.fieldnames or ())
                if columns and columns[: len(COLUMNS)] != [*COLUMNS]:
                    raise UserError(f"`{self._path}` is no table of predictions; choose another folder with -o.")
                for number, row in enumerate(reader, 2):
                    if None in row or None in row.values():
                        raise UserError(f"line {number} of `{self._path}` is damaged; predict without --resume.")
                    yield row
        except FileNotFoundError:
            return
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"cannot continue `{self._path}` ({error}); predict without --resume.") from None
        self._columns = columns

    def _cut(self) -> None:
        with self._path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - _LONGEST_LINE))
            file.truncate(start + file.read().rfind(b"\n") + 1)

    def close(self) -> None:
        """Close the file; a later row opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_table(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> list[list[str]] | None:
    """Return the ``wanted`` cells of each row, empty where there is no such column.

    None for a file that is no table, or whose header does not start with ``columns``.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if list(reader.fieldnames or ())[: len(columns)] != [*columns]:
                return None
            return [[row.get(name) or "" for name in wanted] for row in reader]
    except (OSError, ValueError, csv.Error):
        return None


def as_csv(rows: Sequence[Mapping[str, Any]], *, header: bool = True) -> str:
    """Return rows as CSV, safe for spreadsheets; the parts of a list are joined by ``; ``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    cells = [list(rows[0])] if header else []
    cells += [["; ".join(each) if isinstance(each, list) else each for each in row.values()] for row in rows]
    writer.writerows([table_cell(value) for value in row] for row in cells)
    return text.getvalue()


def for_reading(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without the columns that a terminal has no room for: files and classes."""
    return {name: value for name, value in row.items() if name not in PICTURES and not name.startswith(CLASS_COLUMN)}


def encoded(table: str) -> bytes:
    """Return text as the bytes of a table; bytes of names that are no UTF-8 are escaped."""
    return table.encode("utf-8", "backslashreplace")
