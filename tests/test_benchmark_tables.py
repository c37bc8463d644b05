"""The tables of the results: the page is in step with its files, and marks do what they say."""

import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "tables.py"
SPEC = util.spec_from_file_location("tables", SCRIPT)
assert SPEC is not None and SPEC.loader is not None
tables = util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)

ROWS = [
    {"set": "leaf", "name": "a", "score": 0.5, "seconds": 1.25},
    {"set": "leaf", "name": "b", "score": 0.75, "seconds": 10.0},
    {"set": "vein", "name": "c", "score": 0.1, "seconds": 2.0},
]
PAGE = """# Results

<!-- rows of mine where set=leaf by -score: {name} | {score:.2f} in {seconds:.1f} s -->

| name | score |
|---|---|
| old | 0 |

Text | with a bar.

<!-- rows of mine where set=vein: * | {seconds:.0f} -->

| what | s |
|---|---|
| kept *name* | 9 |
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "mine.json").write_text(json.dumps({"rows": ROWS}))
    return tmp_path


def test_the_page_is_in_step_with_the_results() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_marked_tables_are_made_of_their_rows(results: Path) -> None:
    found = tables.rewritten(PAGE, results)
    assert "| name | score |\n|---|---|\n| b | 0.75 in 10.0 s |\n| a | 0.50 in 1.2 s |\n\nText" in found
    assert found.endswith("| what | s |\n|---|---|\n| kept *name* | 2 |\n") and "old" not in found
    assert tables.rewritten(found, results) == found


def test_a_mark_without_a_table_and_names_of_other_rows_are_errors(results: Path) -> None:
    with pytest.raises(ValueError, match="no table follows"):
        tables.rewritten("<!-- rows of mine: {name} -->\n\nNo table.\n", results)
    with pytest.raises(ValueError, match="keeps names of 1 rows, and there are 2"):
        tables.rewritten(PAGE.replace("where set=vein", "where set=leaf"), results)
