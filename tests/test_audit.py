"""`make audit`: an advisory is named, and what was not reached is never called clean."""

from importlib import util
from pathlib import Path

SPEC = util.spec_from_file_location("audit", Path(__file__).parents[1] / ".ci" / "audit.py")
assert SPEC is not None and SPEC.loader is not None
audit = util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit)

CLEAN = {"name": "numpy", "version": "2.4", "vulns": []}
BAD = {"name": "pillow", "version": "9.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.1"]}]}
SKIPPED = {"name": "torch", "skip_reason": "not found"}


def test_an_advisory_is_named_with_the_version_that_fixes_it() -> None:
    text, code = audit.verdict([CLEAN, BAD, SKIPPED])
    assert code == 1 and "pillow 9.0: PYSEC-1, fixed in 9.1" in text


def test_what_was_not_reached_is_not_clean() -> None:
    assert audit.verdict([CLEAN, SKIPPED]) == (
        "the advisories of 1 pinned packages were not reached (not found): not checked",
        2,
    )
    text, code = audit.verdict([], "no route to host")
    assert code == 2 and "no route to host" in text and "\n" not in text


def test_all_checked_and_none_found_is_clean() -> None:
    assert audit.verdict([CLEAN]) == ("no advisory concerns the 1 pinned packages", 0)
