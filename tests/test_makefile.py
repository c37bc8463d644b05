"""The make targets: CONTRIBUTING lists them, and `make quick` leaves out files that exist."""

import re
from pathlib import Path

from slow_files import SLOW_FILES, TESTS

ROOT = Path(__file__).parent.parent


def test_contributing_lists_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"clean"}
    listed = set(re.findall(r"^\| `make ([a-z-]+)`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE))
    assert targets == listed


def test_slow_files_exist() -> None:
    assert [name for name in SLOW_FILES if not (TESTS / name).is_file()] == []
