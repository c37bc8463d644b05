"""Strategies of damaged and forged inputs: bytes of valid files changed, and documents changed."""

import copy
import json
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
_MOST_BYTES = 1 << 22
_EARLY = 300  # headers are here

_TEXT_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBERS = (
    b"-1", b"0", b"-0.0", b"NaN", b".nan", b"-Infinity", b"1e999", b"1e-320", b"0.5", b"65536", b"2147483648",
    b"9223372036854775808", b"9" * 5000, b"null", b"true", b'"x"', b"[]", b"{}", b"1e9", b"0x10", b"1_0",
)  # fmt: skip
# Lengths, counts and numbers as programs store them, in both byte orders.
_WORDS = tuple(
    struct.pack(order + form, value)
    for order in "<>"
    for form, values in {
        "H": (0, 1, 0x7FFF, 0xFFFF), "i": (0, 1, -1, 2**31 - 1, -(2**31), 40_000), "q": (0, -1, 2**63 - 1, 2**40),
        "f": (float("nan"), float("inf"), -1.0, 1e38), "d": (float("nan"), float("-inf"), 1e308),
    }.items()
    for value in values
)  # fmt: skip


def _place(draw: Draw, content: bytes) -> int:
    """Return a position, half of them near the beginning."""
    most = min(len(content), _EARLY) if draw(st.booleans()) else len(content)
    return int(draw(st.integers(0, most)))


def _cut(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    return content[: _place(draw, content)]


def _flip(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    at, mask = _place(draw, content), draw(st.integers(1, 255))
    return content[:at] + bytes(byte ^ mask for byte in content[at : at + 1]) + content[at + 1 :]


def _insert(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, content)
    return content[:at] + draw(st.binary(min_size=1, max_size=12)) + content[at:]


def _remove(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    at = _place(draw, content)
    return content[:at] + content[at + draw(st.integers(1, 64)) :]


def _overwrite(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    at, word = _place(draw, content), draw(st.sampled_from(_WORDS))
    return content[:at] + word + content[at + len(word) :]


def _splice(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(list(seeds)))
    at, start = _place(draw, content), _place(draw, other)
    return content[:at] + other[start:] if draw(st.booleans()) else content[:at] + other[start:][:200] + content[at:]


def _repeat(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    at, length = _place(draw, content), draw(st.integers(1, 40))
    return content[:at] + content[at : at + length] * draw(st.sampled_from((2, 3, 50, 3000))) + content[at + length :]


def _number(draw: Draw, content: bytes, seeds: Sequence[bytes]) -> bytes:
    found = list(_TEXT_NUMBER.finditer(content[:20_000]))
    if not found:
        return _overwrite(draw, content, seeds)
    one = draw(st.sampled_from(found))
    return content[: one.start()] + draw(st.sampled_from(_NUMBERS)) + content[one.end() :]


_OPERATIONS = (_cut, _flip, _flip, _insert, _remove, _overwrite, _overwrite, _splice, _repeat, _number, _number)


@st.composite
def mutated(draw: Draw, seeds: Sequence[bytes]) -> bytes:
    """Return one of the valid files after one to four changes of its bytes."""
    content: bytes = draw(st.sampled_from(list(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        content = draw(st.sampled_from(_OPERATIONS))(draw, content, seeds)
    return content[:_MOST_BYTES]


_NAMES = st.sampled_from(
    ("", "x", "../../escaped", "/etc/passwd", "a" * 300, "\x00", "\x1b[31m", "é", "\ud800", "=1+1", "images")
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from((2**31, 2**63, -(2**63), 10**400, 65_536)),
    st.sampled_from((float("nan"), float("inf"), -1.5, 1e308, 1e-320)), _NAMES, st.text(max_size=6),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


def _changed(draw: Draw, value: Any) -> Any:
    """Return a document of which one part is another value, absent or there twice."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draw(st.integers(0, 9)) == 0:
        return draw(VALUES)
    key = draw(st.sampled_from(keys))
    how = draw(st.sampled_from(("within", "within", "within", "remove", "copy", "add")))
    if how == "within":
        value[key] = _changed(draw, value[key])
    elif how == "remove":
        del value[key]
    elif isinstance(value, list):
        value.insert(key, copy.deepcopy(value[key]) if how == "copy" else draw(VALUES))
    else:
        value[draw(_NAMES)] = copy.deepcopy(value[key]) if how == "copy" else draw(VALUES)
    return value


@st.composite
def changed_documents(draw: Draw, documents: Sequence[Any]) -> Any:
    """Return one of the documents (JSON's values) after one to three changes of its parts."""
    value = copy.deepcopy(draw(st.sampled_from(list(documents))))
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    return value


def changed_json(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return JSON files whose documents are changed, or whose bytes are."""
    documents = [json.loads(seed) for seed in seeds]
    return changed_documents(documents).map(lambda value: json.dumps(value).encode()) | mutated(seeds)


def joined(tokens: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return tokens of a format in any order."""
    return st.lists(st.sampled_from(list(tokens)), max_size=30).map(b"".join)
