"""The classes of a data set's masks: a CSV file that names their values and colours."""

import colorsys
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import DataError

MASK_CLASSES = "mask_classes.csv"
BACKGROUND = "background"

Colour = tuple[int, int, int]
_BLACK: Colour = (0, 0, 0)
# Okabe and Ito, "Color Universal Design": distinct also for readers with red-green blindness.
_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
)
# Further hues, as a share of the circle from one to the next.
_GOLDEN_ANGLE = 0.381966
_VALUES = range(2**16)
# Masks in memory have one byte a pixel, and one value stands for what the file does not list.
_UNKNOWN = 255
_MOST_CLASSES = _UNKNOWN - 1
_COLUMNS = ("value", "name", "colour")
_SHOWN = 5


@dataclass(frozen=True)
class Mark:
    """A value of mask files, and with colours its colour, that stands for class ``index``."""

    index: int
    value: int
    colour: Colour | None


@dataclass(frozen=True)
class MaskClasses:
    """The classes that masks tell apart: class k, from 1, is ``names[k - 1]``; 0 is the background.

    ``marks`` are the values of the files, the background's first. A class without a mark occurs in
    no mask of the data set.
    """

    names: tuple[str, ...]
    marks: tuple[Mark, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> "MaskClasses":
        """Return classes with the values 1, 2, ... and colours of our choice."""
        colours = [_BLACK, *class_colours(len(names))]
        return cls(tuple(names), tuple(Mark(index, index, colour) for index, colour in enumerate(colours)))

    @property
    def has_colours(self) -> bool:
        """Return whether the classes have colours, which then decide in palette and RGB masks."""
        return all(mark.colour is not None for mark in self.marks)

    def matched(self, names: Sequence[str]) -> "MaskClasses":
        """Return the classes numbered as in ``names``, of which all of theirs must be members."""
        index = {0: 0} | {place: names.index(name) + 1 for place, name in enumerate(self.names, start=1)}
        return MaskClasses(tuple(names), tuple(replace(mark, index=index[mark.index]) for mark in self.marks))

    def read(self, mask: Image.Image) -> npt.NDArray[np.uint8]:
        """Return the class of every pixel of a decoded mask, H x W, 0 for the background.

        Grey masks hold values. Palette and RGB masks hold colours if the classes have them;
        otherwise a palette mask holds values by its indices, and an RGB mask is read if it is grey.
        Raises ValueError, as the end of a sentence about the mask, for what the file does not list.
        """
        if self.has_colours and mask.mode not in ("1", "L", "LA", "I", "F") and not mask.mode.startswith("I;"):
            pixels = np.asarray(mask.convert("RGB"))
            codes = pixels[..., 0].astype(np.int32)
            # In place: four arrays of 32 bits would take ten times the memory of a large mask.
            for channel in (1, 2):
                codes <<= 8
                codes |= pixels[..., channel]
            marks = {_code(mark.colour or _BLACK): mark.index for mark in self.marks}
            return _look_up(codes, marks, 2**24)
        return _look_up(_values(mask), {mark.value: mark.index for mark in self.marks}, len(_VALUES))

    def picture(self, mask_HW: npt.NDArray[np.uint8]) -> Image.Image:
        """Return the classes of pixels as an image that ``read`` reads: the inverse of it.

        It has a palette, if no value is above 255. Every class of the mask needs a mark.
        """
        values = np.zeros(len(self.names) + 1, dtype=np.uint16)
        palette = np.zeros((256, 3), dtype=np.uint8)
        ours = [_BLACK, *class_colours(len(self.names))]
        for mark in self.marks:
            values[mark.index] = mark.value
            if mark.value < len(palette):
                palette[mark.value] = mark.colour or ours[mark.index]
        if values.max() >= len(palette):
            return Image.fromarray(values[mask_HW])
        image = Image.fromarray(values.astype(np.uint8)[mask_HW])
        image.putpalette(palette.ravel().tolist())
        return image


def class_colours(count: int) -> list[Colour]:
    """Return a colour for each of ``count`` mask classes, for palettes and overlays."""
    colours = list(_COLOURS[:count])
    for number in range(count - len(_COLOURS)):
        red, green, blue = colorsys.hsv_to_rgb(_GOLDEN_ANGLE * number % 1, 0.7, 0.95)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def read_mask_classes(root: Path) -> MaskClasses | None:
    """Read ``mask_classes.csv`` of a data set; None without the file.

    Its columns are value, name and optionally colour (#rrggbb). A line of value 0 gives the
    background's colour, which is black otherwise. Raises DataError in one line for a file that
    cannot be used.
    """
    path = root / MASK_CLASSES
    if not path.is_file():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        reader = csv.DictReader(lines, delimiter=_separator(lines[0] if lines else ""), restval="")
        rows = [{(key or "").strip(): value.strip() for key, value in row.items()} for row in reader]
    except (OSError, csv.Error, UnicodeDecodeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as a CSV file in UTF-8 ({error}): save it as one") from error
    columns = set(rows[0]) if rows else set()
    if not {"value", "name"} <= columns <= set(_COLUMNS):
        raise DataError(f"{path} needs lines with the columns value,name and optionally colour: write them")
    return _classes(path, rows)


def mask_classes_text(classes: MaskClasses) -> str:
    """Return the text of ``mask_classes.csv`` with the values, names and colours of the classes."""
    names, text = (BACKGROUND, *classes.names), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS if classes.has_colours else _COLUMNS[:2])
    for mark in classes.marks:
        row = [str(mark.value), names[mark.index]]
        writer.writerow(row if mark.colour is None else [*row, _colour_of(_code(mark.colour))])
    return text.getvalue()


def _separator(header: str) -> str:
    return ";" if header.count(";") > header.count(",") else ","


def _classes(path: Path, rows: Sequence[dict[str, str]]) -> MaskClasses:
    entries = sorted((_entry(path, line, row) for line, row in enumerate(rows, start=2)), key=lambda entry: entry[0])
    coloured = any(colour for _, _, colour in entries)
    if entries[0][0] != 0:
        entries.insert(0, (0, BACKGROUND, None))
    if coloured and entries[0][2] is None:
        entries[0] = (*entries[0][:2], _BLACK)
    values, names, colours = (list(column) for column in zip(*entries, strict=True))
    if coloured and None in colours:
        raise DataError(f"{path} gives some classes a colour and others none: give every line one, or none")
    for what, given in (("value", values), ("name", names), ("colour", colours if coloured else [])):
        if twice := [each for each in given if given.count(each) > 1]:
            raise DataError(f"{path} lists the {what} {_shown(twice[0])} twice: give each class its own")
    if not 0 < len(names) - 1 <= _MOST_CLASSES:
        raise DataError(f"{path} names {len(names) - 1} classes: give 1 to {_MOST_CLASSES} besides the background")
    marks = (Mark(index, value, colours[index]) for index, value in enumerate(values))
    return MaskClasses(tuple(names[1:]), tuple(marks))


def _entry(path: Path, line: int, row: dict[str, str]) -> tuple[int, str, Colour | None]:
    value, name, colour = row["value"], row["name"], row.get("colour", "")
    if not value.isascii() or not value.isdecimal() or len(value) > 9 or int(value) not in _VALUES:
        raise DataError(f"line {line} of {path} has the value {value[:20]!r}: give a number from 0 to {_VALUES[-1]}")
    if not name:
        raise DataError(f"line {line} of {path} has no name: name the class of value {value}")
    if not colour:
        return int(value), name, None
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", colour):
        raise DataError(f"line {line} of {path} has the colour {colour!r}: write #rrggbb, for example #ff0000")
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return int(value), name, (red, green, blue)


def _values(mask: Image.Image) -> npt.NDArray[Any]:
    if mask.mode in ("1", "L", "P") or mask.mode.startswith("I;"):
        return np.asarray(mask)
    if mask.mode in ("I", "F"):
        values = np.asarray(mask)
        strange = values[(values < 0) | (values > _VALUES[-1]) | (values != np.floor(values))]
        if strange.size:
            raise ValueError(f"has the value {strange[0]:g}, which is no whole number up to {_VALUES[-1]}: correct it")
        return values.astype(np.int32)
    pixels = np.asarray(mask.convert("RGB"))
    if (pixels != pixels[..., :1]).any():
        raise ValueError(f"has colours, and {MASK_CLASSES} has no column colour: add it, with #rrggbb in every line")
    return pixels[..., 0]


def _look_up(codes: npt.NDArray[Any], marks: dict[int, int], size: int) -> npt.NDArray[np.uint8]:
    """Return the index of every code. Raises ValueError that lists the codes without one."""
    table = np.full(size, _UNKNOWN, dtype=np.uint8)
    table[list(marks)] = list(marks.values())
    indices = table[codes.astype(np.uint8) if codes.dtype == np.bool_ else codes]
    strange = np.unique(codes[indices == _UNKNOWN])
    if strange.size:
        what, shown = ("colour", _colour_of) if size > len(_VALUES) else ("value", str)
        more = f" and {strange.size - _SHOWN} more" if strange.size > _SHOWN else ""
        raise ValueError(
            f"has the {what} {', '.join(map(shown, strange[:_SHOWN].tolist()))}{more}, which {MASK_CLASSES} does not"
            f" list ({', '.join(map(shown, list(marks)[: 2 * _SHOWN]))}): correct the mask or add a line"
        )
    return np.asarray(indices)


def _code(colour: Colour) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def _colour_of(code: int) -> str:
    return f"#{code:06x}"


def _shown(given: object) -> str:
    return _colour_of(_code(given)) if isinstance(given, tuple) else repr(given)
