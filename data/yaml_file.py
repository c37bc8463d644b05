"""Read a YAML file that a user gives, within bounds, with every fault of it as one line."""

from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError, UserError

MAX_BYTES = 1 << 20
MAX_NODES = 100_000

# Errors of PyYAML's constructors for a value that its tag or its form does not allow.
_IMPOSSIBLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def read_yaml(path: Path, kind: str, option: str) -> Any:
    """Return the content of a YAML file of plain values; ``kind`` and ``option`` are for messages.

    Raises UsageError as ``parse_yaml`` does UserError, and for a file that cannot be read.
    """
    where = f"{kind} file `{path}`"
    try:
        return parse_yaml(path)
    except OSError as error:
        raise UsageError(f"{where} cannot be read ({error.strerror}); give another with {option}.") from None
    except UserError as error:
        raise UsageError(f"{where} {error}") from None


def parse_yaml(path: Path) -> Any:
    """Return the content of a YAML file of plain values.

    Raises OSError, and UserError, as the end of a sentence about the file, if it is no YAML, gives
    a key twice, contains itself by an alias, or has more than ``MAX_NODES`` values with aliases
    written out.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"has more than {MAX_BYTES >> 20} MiB; give a shorter one.")
        loader = _Loader(path.read_bytes())
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, set(), {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise UserError(f"is not YAML: {' '.join(str(error).split())}.") from None
    except UserError:
        raise
    except _IMPOSSIBLE as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise UserError(f"has a value that cannot be read ({reason}); correct it.") from None


class _Loader(yaml.SafeLoader):
    """Safe YAML loader that rejects duplicate keys, of which YAML itself would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key in (name for name, _ in node.value if isinstance(name, yaml.ScalarNode)):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise UserError(f"gives `{key.value}` twice, again in line {line}; keep one of the two.")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, above: set[int], known: dict[int, int]) -> int:
    """Return the number of values of a node with its aliases written out."""
    if id(node) in above:
        raise UserError("contains itself by an alias; write the values out.")
    if id(node) not in known:
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for item in inner for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_count(part, above | {id(node)}, known) for part in parts)
    if known[id(node)] > MAX_NODES:
        raise UserError(f"has more than {MAX_NODES} values with its aliases written out; give a shorter one.")
    return known[id(node)]
