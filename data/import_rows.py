"""Shared code of the importers: rows as the result of each layout, and readers of its lists."""

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from PIL import Image

from ..errors import DataError
from .mask_classes import MaskClasses

_MAX_NAMES = 3
_MAX_NAME_LENGTH = 200


class Box(NamedTuple):
    """A bounding box in pixels: left, top, width, height."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Row:
    """One image of a layout.

    ``name`` is its path below ``images/`` in the new data set, with ``/`` on every platform.
    ``soft`` says that the mask is grey, and that pixels from half its brightest value on are
    structure. ``box`` is the area to crop image and mask to; a mask with a box is soft. ``drawn``
    returns a mask that is no file of the layout.
    """

    image: Path
    name: str
    label: str
    split: str
    mask: Path | None = None
    soft: bool = False
    box: Box | None = None
    drawn: Callable[[], Image.Image] | None = None


@dataclass(frozen=True)
class Imported:
    """All rows of a layout; the coarse group of each class and mask classes, if it has them."""

    rows: list[Row]
    coarse: dict[str, str] = field(default_factory=dict)
    mask_classes: MaskClasses | None = None


def printable_name(text: object) -> str:
    """Return a name from a foreign file safe to print: escaped, on one line and shortened."""
    escaped = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text)[:_MAX_NAME_LENGTH])
    return escaped if len(str(text)) <= _MAX_NAME_LENGTH else f"{escaped}..."


def first_few(names: Iterable[object]) -> str:
    """Return the first three names, followed by the total number if there are more."""
    all_names = list(names)
    more = f", ... ({len(all_names)} in all)" if len(all_names) > _MAX_NAMES else ""
    return ", ".join(map(printable_name, all_names[:_MAX_NAMES])) + more


def require_file(source: Path, name: str, layout: str) -> Path:
    """Return the path of a file of the layout. Raises DataError if it does not exist."""
    if not (source / name).is_file():
        raise DataError(f"{source} has no {name}, which the {layout} layout needs: give the folder that holds it")
    return source / name


_MAX_LINE = 100_000  # below the 131,072 of Python's csv


def require_folder(source: Path, name: str, layout: str) -> Path:
    """Return the path of a folder of the layout. Raises DataError if it does not exist."""
    if not (source / name).is_dir():
        raise DataError(
            f"{source} has no folder {name}/, which the {layout} layout needs: give the folder that contains {name}/"
        )
    return source / name


def read_lines(path: Path) -> list[str]:
    """Return the non-blank lines of a text file, stripped.

    Raises DataError if it is not UTF-8, or has a line that is longer than a field of CSV may be.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from error
    if longest := next((number for number, line in enumerate(lines, 1) if len(line) > _MAX_LINE), 0):
        raise DataError(f"{path} has more than {_MAX_LINE} characters in line {longest}: correct it")
    return [line.strip() for line in lines if line.strip()]


@contextmanager
def csv_errors(path: Path) -> Iterator[None]:
    """Turn an error of a CSV file, such as a quote without its end, into a DataError."""
    try:
        yield
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file ({error}): save it as one") from error


def read_pairs(path: Path) -> dict[str, str]:
    """Read lines of a key, white space and a value. Raises DataError for others and repeats."""
    pairs: dict[str, str] = {}
    for line in read_lines(path):
        key, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if not rest.strip():
            raise DataError(f"{path} has the line {line[:60]!r}, which is not two fields: correct it")
        if key in pairs:
            raise DataError(f"{path} lists {printable_name(key)} twice: keep one line")
        pairs[key] = rest.strip()
    return pairs


def require_same_keys(first: tuple[str, Collection[str]], second: tuple[str, Collection[str]]) -> None:
    """Raise DataError with the first keys that differ unless two named lists have the same keys."""
    for (name, keys), (other, others) in ((first, second), (second, first)):
        absent = sorted(set(keys) - set(others))
        if absent:
            raise DataError(f"{name} has {first_few(absent)}, of which {other} has nothing: make the two agree")


def require_images(rows: Iterable[Row]) -> None:
    """Raise DataError with the first names and their number if images of rows are not files."""
    absent = [str(row.image) for row in rows if not row.image.is_file()]
    if absent:
        raise DataError(
            f"no file {first_few(absent)}, though the lists name it: restore it, or remove it from the lists"
        )


def relative_name(name: str, path: Path) -> str:
    """Return a relative path from the list ``path``. Raises DataError if it leaves the folder."""
    windows = PureWindowsPath(name)
    if windows.drive or windows.root or ".." in windows.parts:
        raise DataError(f"{path} names {name!r}, outside the images: use paths below the images folder")
    return PurePosixPath(name).as_posix()


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """Return names by id, with the id added to any name that several ids share."""
    counts = Counter(names.values())
    return {key: f"{name} ({key})" if counts[name] > 1 else name for key, name in names.items()}


def zero_padded(numbers: Collection[int]) -> dict[int, str]:
    """Return numbers as strings of equal width, so that sorting by name sorts by number."""
    width = len(str(max(numbers, default=0)))
    return {number: f"{number:0{width}d}" for number in numbers}
