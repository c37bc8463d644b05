"""Rewrite the tables of three pages in docs/ from benchmarks/results/*.json.

A table is rewritten if the line above it says which rows it has, as templates of its cells:

    <!-- rows of service-cpu where unit=trials/s by -ratio: * | {optuna:.1f} | {venation:.1f} -->

``where`` picks rows by their values, ``by`` sorts them by a field, ``-`` from the largest. ``*``
keeps what the page says, for the names of rows. The table's two head lines stay as they are.

    python benchmarks/tables.py [--check]

With ``--check`` nothing is written, and the exit code is 1 if a page is out of date.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / f"{name}.md" for name in ("reference/results", "explanation/security", "explanation/faults")]

_MARK = re.compile(
    r"^<!-- rows of (?P<file>[\w-]+)(?: where (?P<where>[^:]*?))?(?: by (?P<by>-?\w+))?: (?P<cells>.*) -->$",
    re.MULTILINE,
)
_TABLE = re.compile(r"\n+(?P<head>\|.*\n\|[-|: ]+\n)(?P<body>(?:\|.*\n)*)")


def rewritten(page: str, results: Path = RESULTS) -> str:
    """Return the page with the bodies of all marked tables made from their files.

    Raises ValueError for a mark without a table, and for a table that keeps names of another number
    of rows.
    """
    parts, end = [], 0
    for mark in _MARK.finditer(page):
        table = _TABLE.match(page, mark.end())
        if table is None:
            raise ValueError(f"no table follows `{mark[0]}`")
        parts += [page[end : table.start("body")], _body(mark, table["body"].splitlines(), results)]
        end = table.end("body")
    return "".join([*parts, page[end:]])


def _body(mark: re.Match[str], lines: list[str], results: Path) -> str:
    rows: list[dict[str, Any]] = json.loads((results / f"{mark['file']}.json").read_text())["rows"]
    wanted = dict(condition.split("=", 1) for condition in (mark["where"] or "").split())
    rows = [row for row in rows if all(str(row[name]) == value for name, value in wanted.items())]
    if mark["by"]:
        rows.sort(key=lambda row: row[mark["by"].lstrip("-")], reverse=mark["by"].startswith("-"))
    templates = [cell.strip() for cell in mark["cells"].split("|")]
    if "*" in templates and len(lines) != len(rows):
        raise ValueError(f"the table below `{mark[0]}` keeps names of {len(lines)} rows, and there are {len(rows)}")
    old = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    old += [[]] * (len(rows) - len(old))
    cells = (
        [own[at] if template == "*" else template.format_map(row) for at, template in enumerate(templates)]
        for row, own in zip(rows, old, strict=False)
    )
    return "".join(f"| {' | '.join(each)} |\n" for each in cells)


def main() -> None:
    for path in PAGES:
        page = path.read_text()
        fresh = rewritten(page)
        if "--check" in sys.argv and fresh != page:
            sys.exit(f"{path.name} is out of date: run `python benchmarks/tables.py`")
        if fresh != page:
            path.write_text(fresh)


if __name__ == "__main__":
    main()
