"""Read UBJSON as XGBoost writes it, within bounds: depth, counts and lengths that the bytes hold.

XGBoost's own reader trusts these numbers: a damaged one ends the process or takes all memory.
Format: https://ubjson.org, of which XGBoost writes a part, with big-endian int64 lengths.
"""

import struct
from typing import Any

import numpy as np

MAX_BYTES = 1 << 29
_MAX_DEPTH = 16
_MAX_VALUES = 10_000_000

_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_TYPES = {tag: np.dtype(name) for tag, name in _NUMBERS.items()}
_CONSTANTS = {b"T": True, b"F": False, b"Z": None}


def read_ubjson(content: bytes) -> Any:
    """Return the value of ``content``; typed arrays are NumPy arrays, others are lists.

    Raises ValueError for everything that XGBoost does not write, with bytes left over, or above the
    bounds.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has {len(content)} bytes, more than {MAX_BYTES}")
    reader = _Reader(content)
    value = reader.value(0)
    if reader.at != len(content):
        raise ValueError(f"{len(content) - reader.at} bytes follow its end")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.at = 0
        self._content = content
        self._values = 0

    def value(self, depth: int) -> Any:
        self._values += 1
        if depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise ValueError(f"it is nested deeper than {_MAX_DEPTH} or has more than {_MAX_VALUES} values")
        tag = self._take(1)
        if tag == b"{":
            return self._object(depth)
        if tag == b"[":
            return self._array(depth)
        if tag == b"S":
            return self._text()
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag in _TYPES:
            return np.frombuffer(self._take(_TYPES[tag].itemsize), _TYPES[tag])[0].item()
        raise ValueError(f"{tag!r} is no type of a value")

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self._peek() != b"}":
            name = self._text()
            if name in found:
                raise ValueError("a name occurs twice")
            found[name] = self.value(depth + 1)
        self.at += 1
        return found

    def _array(self, depth: int) -> Any:
        kind = None
        if self._peek() == b"$":
            kind = _TYPES.get(self._take(2)[1:])
            if kind is None:
                raise ValueError("an array has an unknown type")
        elif self._peek() != b"#":
            return self._open_array(depth)
        if self._take(1) != b"#":
            raise ValueError("an array has a type and no length")
        count = self._length()
        if kind is not None:
            return np.frombuffer(self._take(count * kind.itemsize), kind)
        if count > len(self._content) - self.at:
            raise ValueError("an array is longer than the file")
        return [self.value(depth + 1) for _ in range(count)]

    def _open_array(self, depth: int) -> list[Any]:
        found = []
        while self._peek() != b"]":
            found.append(self.value(depth + 1))
        self.at += 1
        return found

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def _length(self) -> int:
        if self._take(1) != b"L":
            raise ValueError("a length is no 64-bit integer")
        (count,) = struct.unpack(">q", self._take(8))
        if count < 0:
            raise ValueError("a length is negative")
        return int(count)

    def _peek(self) -> bytes:
        return self._content[self.at : self.at + 1]

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._content):
            raise ValueError("it ends too early")
        taken = self._content[self.at : end]
        self.at = end
        return taken
