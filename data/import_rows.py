"""What every layout is read into, and the reading of the lists that layouts share."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from ..errors import DataError

_SHOWN = 3
_LONGEST = 200


class Box(NamedTuple):
    """A bounding box in pixels: left, top, width, height."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Row:
    """One image of a layout. ``name``: its path below ``images/`` in the new set, with ``/`` on every platform.

    ``soft``: the mask is grey, and what reaches half its brightest value is structure. ``box``: crop image and mask to
    it; a mask with a box is soft.
    """

    image: Path
    name: str
    label: str
    split: str
    mask: Path | None = None
    soft: bool = False
    box: Box | None = None


@dataclass(frozen=True)
class Imported:
    """All rows of a layout, and the coarse group of each class where the layout knows one."""

    rows: list[Row]
    coarse: dict[str, str] = field(default_factory=dict)


def shown(text: object) -> str:
    """A name from a foreign file as it may stand in a message: on one line, nothing a terminal acts on, not endless."""
    escaped = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text)[:_LONGEST])
    return escaped if len(str(text)) <= _LONGEST else f"{escaped}..."


def few(names: Iterable[object]) -> str:
    """The first three names, and how many there are if there are more."""
    all_names = list(names)
    more = f", ... ({len(all_names)} in all)" if len(all_names) > _SHOWN else ""
    return ", ".join(map(shown, all_names[:_SHOWN])) + more


def need_file(source: Path, name: str, layout: str) -> Path:
    """The file of that name in the source. Raises DataError if the layout needs it and it is not there."""
    if not (source / name).is_file():
        raise DataError(f"{source} has no {name}, which the {layout} layout needs: give the folder that holds it")
    return source / name


def need_folder(source: Path, name: str, layout: str) -> Path:
    """The folder of that name in the source. Raises DataError if the layout needs it and it is not there."""
    if not (source / name).is_dir():
        raise DataError(f"{source} has no folder {name}/, which the {layout} layout needs: give the folder above it")
    return source / name


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank. Raises DataError if it is not UTF-8."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): save it as such") from error
    return [line.strip() for line in lines if line.strip()]


def read_pairs(path: Path) -> dict[str, str]:
    """A list whose lines are a key, white space and the rest. Raises DataError for a line without both, or a repeat."""
    pairs: dict[str, str] = {}
    for line in read_lines(path):
        key, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if not rest.strip():
            raise DataError(f"{path} has the line {line[:60]!r}, which is not two fields: correct it")
        if key in pairs:
            raise DataError(f"{path} lists {shown(key)} twice: keep one line")
        pairs[key] = rest.strip()
    return pairs


def need_same_keys(first: tuple[str, Collection[str]], second: tuple[str, Collection[str]]) -> None:
    """Refuse two named lists that do not speak of the same things. Raises DataError with the first few that differ."""
    for (name, keys), (other, others) in ((first, second), (second, first)):
        absent = sorted(set(keys) - set(others))
        if absent:
            raise DataError(f"{name} has {few(absent)}, of which {other} has nothing: make the two agree")


def need_images(rows: Iterable[Row]) -> None:
    """Refuse rows whose image is no file. Raises DataError with the first few and their number."""
    absent = [str(row.image) for row in rows if not row.image.is_file()]
    if absent:
        raise DataError(f"no file {few(absent)}, though the lists name it: restore it or take it out of them")


def inside(name: str, path: Path) -> str:
    """The name as a path below a folder. Raises DataError if it leads out of it; ``path`` is the list it is from."""
    windows = PureWindowsPath(name)
    if windows.drive or windows.root or ".." in windows.parts:
        raise DataError(f"{path} names {name!r}, outside the images: use paths below the images folder")
    return PurePosixPath(name).as_posix()


def distinct_names(names: Mapping[str, str]) -> dict[str, str]:
    """Names by id, with the id added to those that two ids share, so that two classes never become one."""
    counts = Counter(names.values())
    return {key: f"{name} ({key})" if counts[name] > 1 else name for key, name in names.items()}


def padded(numbers: Collection[int]) -> dict[int, str]:
    """Numbers as texts of equal width, so that sorted by name they are in order of number."""
    width = len(str(max(numbers, default=0)))
    return {number: f"{number:0{width}d}" for number in numbers}
