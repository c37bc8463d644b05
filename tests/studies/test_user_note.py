"""Notes to a study: those of the dashboard, of any length, and no part of the spec."""

import pytest
from optuna_dashboard._note import get_note
from study_helpers import StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UserError
from venation.storage.attributes import SPEC
from venation.studies.user_note import MAX_NOTE, read_note, write_note


def test_a_note_is_that_of_the_dashboard_and_changes_no_spec(harness: StudyHarness) -> None:
    handle = harness.create()
    before = SPEC.get(handle.study)
    assert read_note(handle) == ""
    # Optuna's attributes hold 2,045 characters; the second text is shorter.
    for text in ("größer als\n\n* * *\n\n" + "vein " * 1000 + "end", "kept **short**", ""):
        write_note(handle, text)
        assert read_note(handle) == get_note(handle.study) == text
    assert SPEC.get(handle.study) == before
    with pytest.raises(UserError, match=f"{MAX_NOTE + 1} characters"):
        write_note(handle, "x" * (MAX_NOTE + 1))


def test_the_command_writes_and_prints_it(harness: StudyHarness, postgres_url: str) -> None:
    harness.create()
    at = ["--storage", postgres_url]

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, [*words, *at])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert run("study", "note", "soy") == ""
    assert run("study", "note", "soy", "second *try*") == ""
    assert run("study", "note", "soy") == "second *try*\n"
    assert "second *try*" in run("study", "show", "soy")
