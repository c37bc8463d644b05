"""Print rows as tables: as wide as the terminal, or 200 columns in a pipe."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200


def print_rows(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print a list of rows as a table, or one mapping as ``name: value`` lines, on stdout.

    A mapping inside a mapping becomes indented lines.
    """
    # Paths and labels may contain text that looks like Rich's markup or the name of an emoji.
    console = Console(
        width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False, markup=False, emoji=False
    )
    if isinstance(rows, Mapping):
        for line in _lines(rows):
            console.print(line, soft_wrap=True)
        return
    if not rows:
        return
    columns = [name for name in rows[0] if any(row.get(name) is not None for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in columns))
    console.print(table)


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield one line for each value; values of an inner mapping follow its name, further right."""
    for name, value in values.items():
        match value:
            case {"value": float(), "low": float(), "high": float()}:
                yield f"{indent}{name}: {_text(value['value'])} ({_text(value['low'])} to {_text(value['high'])})"
            case Mapping() if value:
                yield f"{indent}{name}:"
                yield from _lines(value, indent + "  ")
            case [Mapping(), *_] if any(isinstance(inner, Mapping) for item in value for inner in item.values()):
                yield f"{indent}{name}:"
                yield from _lines({str(place): item for place, item in enumerate(value, 1)}, indent + "  ")
            case [Mapping(), *_]:
                yield f"{indent}{name}:"
                yield from (f"{indent}  {_text(item)}" for item in value)
            case _:
                yield f"{indent}{name}: {_text(value)}"


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.4g}"
        case Mapping():
            return ", ".join(f"{name}={_text(item)}" for name, item in value.items()) or "-"
        case list() | tuple():
            return ", ".join(_text(item) for item in value) or "-"
        case _:
            return str(value)
