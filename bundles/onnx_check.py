"""Refuse an ONNX file that is more than a list of known operators, before onnxruntime loads it.

A graph is a program. Those that Venation writes have no loops, branches, functions, operators of
other domains, or data in other files. The protocol buffers of the file (onnx.proto of ONNX) are
read with the standard library alone.
"""

import re
from collections.abc import Iterator

# Protocol buffers end at 2 GiB.
MAX_BYTES = (2 << 30) - 1
# The largest exported network of the presets has 3,000; an ensemble has up to 64 networks.
MAX_NODES = 200_000

_DOMAINS = (b"", b"ai.onnx", b"ai.onnx.ml")
# Numbers of fields: of a model, a graph, a node, an attribute, a tensor, a set of operators.
_GRAPH, _OPSET, _TRAINING, _FUNCTIONS = 7, 8, 20, 25
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE, _SPARSES = 5, 6, 10, 11, 22, 23
_EXTERNAL, _LOCATION = 13, 14
_OPSET_DOMAIN = 1
# The numbers of an attribute, each with its tag: trees have millions, one after the other. In other
# messages, these are no fields that matter.
_NUMBERS = re.compile(rb"(?:\x40[\x80-\xff]*[\x00-\x7f]|\x3d.{4})+", re.DOTALL)

# The number of a field, and where its content is, or its value.
_Field = tuple[int, range | int]


def check_graph(content: bytes) -> None:
    """Raise ValueError with the reason if the content of an ONNX file is refused, or damaged."""
    for number, place in _fields(content, range(len(content))):
        if number in (_TRAINING, _FUNCTIONS):
            raise ValueError("it has functions of its own")
        if number == _OPSET:
            _check_domain(content, _parts(content, place, _OPSET_DOMAIN))
        if number == _GRAPH:
            _check_nodes(content, place)


def _check_nodes(content: bytes, graph: range | int) -> None:
    nodes = 0
    for number, place in _fields(content, graph):
        if number == _SPARSE_INITIALIZER:
            raise ValueError("it has sparse tensors")
        if number == _INITIALIZER:
            _check_tensor(content, place)
        if number == _NODE:
            nodes += 1
            if nodes > MAX_NODES:
                raise ValueError(f"it has more than {MAX_NODES} nodes")
            _check_domain(content, _parts(content, place, _NODE_DOMAIN))
            for attribute in _parts(content, place, _ATTRIBUTE):
                _check_attribute(content, attribute)


def _check_attribute(content: bytes, attribute: range | int) -> None:
    for number, place in _fields(content, attribute):
        if number in (_SUBGRAPH, _SUBGRAPHS):
            raise ValueError("it has a loop or a branch")
        if number in (_SPARSE, _SPARSES):
            raise ValueError("it has sparse tensors")
        if number in (_TENSOR, _TENSORS):
            _check_tensor(content, place)


def _check_tensor(content: bytes, tensor: range | int) -> None:
    for number, place in _fields(content, tensor):
        if number == _EXTERNAL or (number == _LOCATION and place):
            raise ValueError("it keeps data in another file")


def _check_domain(content: bytes, places: Iterator[range | int]) -> None:
    for place in places:
        name = content[place.start : place.stop] if isinstance(place, range) else b"?"
        if name not in _DOMAINS:
            raise ValueError(f"it has operators of the domain {name[:40].decode(errors='replace')!r}")


def _parts(content: bytes, message: range | int, wanted: int) -> Iterator[range | int]:
    return (place for number, place in _fields(content, message) if number == wanted)


def _fields(content: bytes, message: range | int) -> Iterator[_Field]:
    """Yield the fields of a message, without fractions and runs of ``_NUMBERS``."""
    if isinstance(message, int):
        raise ValueError("it is damaged")
    at, end = message.start, message.stop
    while at < end:
        if (run := _NUMBERS.match(content, at, end)) is not None:
            at = run.end()
            continue
        tag, at = _varint(content, at, end)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(content, at, end)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _varint(content, at, end)
        if length is None or at + length > end:
            raise ValueError("it is damaged")
        if kind == 2:
            yield tag >> 3, range(at, at + length)
        at += length


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins at a place, and the place behind it."""
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("it is damaged")
