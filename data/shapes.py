"""Shapes of annotations as masks: polygons, and the run lengths of COCO, CVAT and Label Studio.

Shapes: H W height and width, P points, N numbers of a list.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Size = tuple[int, int]

# Bits of Label Studio's runs: those of a number, of a run's length, and the four widths' choice.
_WORD, _LENGTH, _CHOICE = 8, 16, 2


def fill_polygon(points_P2: npt.NDArray[np.float64], size: Size) -> Mask:
    """Return the pixels of an image of ``size`` (width, height) whose centre is inside a polygon.

    Corners are (x, y) in pixels, and the centre of the first pixel is (0.5, 0.5). Where the outline
    crosses itself, the even-odd rule holds. Parts outside the image are cut off. Raises ValueError
    for fewer than three points, or points that are not finite.
    """
    if len(points_P2) < 3 or not np.isfinite(points_P2).all():
        raise ValueError(f"a polygon of {len(points_P2)} points; give three or more finite points")
    width, height = size
    crossing_HW = np.zeros((height, width + 1), dtype=np.int32)
    for (x0, y0), (x1, y1) in pairwise([*points_P2, points_P2[0]]):
        # The rows whose centre line the edge crosses.
        low, high = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in sorted((y0, y1)))
        rows = np.arange(low, high)
        if len(rows):
            x_R = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            np.add.at(crossing_HW, (rows, np.clip(np.ceil(x_R - 0.5), 0, width).astype(np.int64)), 1)
    return crossing_HW.cumsum(axis=1)[:, :width] % 2 == 1


def scaled_polygon(values: Sequence[float], unit: float) -> Callable[[Size], Mask]:
    """Return a function that fills a polygon, x, y, ..., whose ``unit`` is a side of the image."""
    share_P2 = np.asarray(values, dtype=np.float64).reshape(-1, 2) / unit
    return lambda size: fill_polygon(share_P2 * size, size)


def expand_runs(counts: Sequence[int], size: Size, *, by_columns: bool) -> Mask:
    """Return the mask of run lengths, which alternate from background: H x W.

    COCO counts down the columns, CVAT along the rows. Raises ValueError unless the lengths are
    those of ``size`` (width, height).
    """
    width, height = size
    lengths = _whole(counts, np.int64)
    if (lengths < 0).any() or lengths.sum() != width * height:
        raise ValueError(f"run lengths of {lengths.sum()} pixels in all, but {width}x{height} are {width * height}")
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape(width, height).T if by_columns else flat.reshape(height, width)


def run_lengths(flat: npt.NDArray[np.bool_]) -> list[int]:
    """Return the lengths of equal values in a row, beginning with those that are false."""
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, len(flat)]).tolist()
    return [0, *lengths] if len(flat) and flat[0] else lengths


def read_coco_counts(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed string.

    Five bits a character, and from the fourth number on the difference to the second before it, as
    in ``rleFrString`` of cocoapi. Raises ValueError for a string that ends within a number.
    """
    counts: list[int] = []
    number = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"the character {char!r} in compressed run lengths")
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("compressed run lengths that end within a number")
    return counts


def write_coco_counts(counts: Sequence[int]) -> str:
    """Return run lengths as COCO's compressed string, which ``read_coco_counts`` reads.

    As in ``rleToString`` of cocoapi: the lowest five bits first, with a bit for more to come.
    """
    chars = []
    for at, count in enumerate(counts):
        number, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            bits, number = number & 0x1F, number >> 5
            # The last character's highest bit is the sign.
            more = number != (-1 if bits & 0x10 else 0)
            chars.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(chars)


def read_brush(code: Sequence[int], size: Size) -> Mask:
    """Return the mask of Label Studio's brush: where its RGBA image is not transparent, H x W.

    The bytes are those of the package rle-pack: the number of values, the bits of a value, four
    widths of lengths, and then runs of one value or rows of single ones. Raises ValueError for
    bytes that end early, or values that are not those of ``size`` (width, height).
    """
    width, height = size
    bits = _Bits(np.unpackbits(_whole(code, np.uint8)))
    number, word = bits.read(32), bits.read(5) + 1
    if number != 4 * width * height:
        raise ValueError(f"a brush of {number // 4} pixels, but {width}x{height} are {width * height}")
    widths = [bits.read(4) + 1 for _ in range(4)]
    values, done = np.zeros(number, dtype=np.uint8), 0
    while done < number:
        is_run = bits.read(1)
        end = done + 1 + bits.read(widths[bits.read(2)])
        values[done:end] = bits.read(word) if is_run else bits.words(end - done, word)[: number - done]
        done = end
    return values.reshape(height, width, 4)[..., 3] > 0


def write_brush(mask_HW: Mask) -> list[int]:
    """Return a mask as the bytes that ``read_brush`` reads."""
    values = np.repeat(mask_HW.ravel() * np.uint8(255), 4)
    header = f"{len(values):032b}{_WORD - 1:05b}" + f"{_LENGTH - 1:04b}" * 4
    parts = [header]
    starts = np.flatnonzero(np.diff(values, prepend=values[0] ^ np.uint8(1)))
    for start, end in pairwise([*starts.tolist(), len(values)]):
        for first in range(start, end, 2**_LENGTH):
            length = min(2**_LENGTH, end - first)
            parts.append(f"1{3:0{_CHOICE}b}{length - 1:0{_LENGTH}b}{values[start]:0{_WORD}b}")
    text = "".join(parts)
    bits = np.frombuffer(text.encode(), dtype=np.uint8) - ord("0")
    return np.packbits(bits).tolist()


def _whole(values: Sequence[int], kind: type[np.integer[Any]]) -> npt.NDArray[Any]:
    """Return a flat list of whole numbers of an export. Raises ValueError for anything else."""
    try:
        found = np.asarray(values, dtype=kind)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"a list with values of another kind ({error})") from error
    if found.ndim != 1:
        raise ValueError("a list within a list of numbers")
    return found


class _Bits:
    """Bits that are read from the first to the last."""

    def __init__(self, bits: npt.NDArray[np.uint8]) -> None:
        self._bits, self._at = bits, 0

    def read(self, count: int) -> int:
        return int(self.words(1, count)[0])

    def words(self, number: int, count: int) -> npt.NDArray[np.int64]:
        """Return ``number`` words of ``count`` bits."""
        taken = self._bits[self._at : self._at + number * count]
        if len(taken) < number * count:
            raise ValueError("a brush whose bytes end early")
        self._at += number * count
        return taken.reshape(number, count).astype(np.int64) @ (1 << np.arange(count - 1, -1, -1, dtype=np.int64))
