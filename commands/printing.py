"""Print rows as tables: as wide as the terminal, or in a pipe as wide as the rows."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ..escaping import printable

# In a pipe every row is one line, however long its paths are.
PIPE_WIDTH = 10_000


def print_rows(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print a list of rows as a table, or one mapping as ``name: value`` lines, on stdout.

    A mapping inside a mapping becomes indented lines.
    """
    console = _console()
    if isinstance(rows, Mapping):
        for line in _lines(rows):
            console.print(line, soft_wrap=True)
        return
    if not rows:
        return
    columns = [name for name in rows[0] if any(row.get(name) is not None for row in rows)]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(printable(name), overflow="fold")
    for row in rows:
        table.add_row(*(format_value(row.get(name)) for name in columns))
    console.print(table)


def print_fields(title: str, fields: Mapping[str, Any]) -> None:
    """Print ``title`` and the named values below it in two columns; leave out those without one.

    On a terminal long values are wrapped in their column; in a pipe each is one line.
    """
    console = _console()
    console.print(title, style="bold", soft_wrap=True)
    shown = {name: format_value(value) for name, value in fields.items() if value not in (None, "", (), [], {})}
    width = max(map(len, shown), default=0)
    if not sys.stdout.isatty():
        for name, text in shown.items():
            print(f"  {name:{width}}  {text}")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in shown.items():
        table.add_row(f"  {name}", text)
    console.print(table)


def _console() -> Console:
    # Paths and labels may contain text that looks like Rich's markup or the name of an emoji.
    return Console(
        width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False, markup=False, emoji=False
    )


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield one line for each value; values of an inner mapping follow its name, further right."""
    for name, value in values.items():
        match value:
            case {"value": float(), "low": float(), "high": float()}:
                shown = {part: format_value(value[part]) for part in ("value", "low", "high")}
                yield f"{indent}{name}: {shown['value']} ({shown['low']} to {shown['high']})"
            case Mapping() if value:
                yield f"{indent}{name}:"
                yield from _lines(value, indent + "  ")
            case [Mapping(), *_] if any(isinstance(inner, Mapping) for item in value for inner in item.values()):
                yield f"{indent}{name}:"
                yield from _lines({str(place): item for place, item in enumerate(value, 1)}, indent + "  ")
            case [Mapping(), *_]:
                yield f"{indent}{name}:"
                yield from (f"{indent}  {format_value(item)}" for item in value)
            case _:
                yield f"{indent}{name}: {format_value(value)}"


def format_value(value: Any) -> str:
    """Return a value as text: numbers with four digits, lists and mappings in one line."""
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.4g}"
        case Mapping():
            return ", ".join(f"{printable(str(name))}={format_value(item)}" for name, item in value.items()) or "-"
        case list() | tuple():
            return ", ".join(format_value(item) for item in value) or "-"
        case _:
            return printable(str(value))


def format_settings(values: Mapping[str, Any]) -> str:
    """Return named values in one line: ``encoder.name=resnet18, data.mean=(0.5, 0.5, 0.5)``."""
    shown = {name: format_value(value) for name, value in values.items()}
    lists = {name: f"({text})" for name, text in shown.items() if isinstance(values[name], list | tuple)}
    return ", ".join(f"{name}={text}" for name, text in (shown | lists).items())
