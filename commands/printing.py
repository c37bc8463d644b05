"""Print rows as tables: as wide as the terminal, or 200 columns in a pipe."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200


def print_rows(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Print a list of rows as a table, or one mapping as ``name: value`` lines, on stdout."""
    # Paths and labels may contain text that looks like Rich's markup or the name of an emoji.
    console = Console(
        width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False, markup=False, emoji=False
    )
    if isinstance(rows, Mapping):
        for name, value in rows.items():
            console.print(f"{name}: {_text(value)}", soft_wrap=True)
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


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.4g}"
        case Mapping():
            return json.dumps(value, default=str)
        case list() | tuple():
            return ", ".join(_text(item) for item in value)
        case _:
            return str(value)
