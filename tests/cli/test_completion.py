"""The shell completes names of studies, and starts no server for it."""

import pytest
import typer
from small_bundle import SmallBundle
from typer.testing import CliRunner

from venation.cli import app
from venation.commands.completion import complete_studies
from venation.storage import embedded


def completed(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what bash is offered for the last word of ``line``."""
    words = line.split(" ")
    monkeypatch.setenv("_VENATION_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    return CliRunner().invoke(app, [], prog_name="venation").stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("venation study show tiny-", {"tiny-veins", "tiny-boost"}),
        ("venation trial why tiny-v", {"tiny-veins"}),
        ("venation bundle export tiny-veins tiny-b", {"tiny-boost"}),
        ("venation study show no-such", set()),
    ],
)
def test_names_of_studies_are_completed(
    line: str, offered: set[str], small_bundle: SmallBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(completed(line, monkeypatch)) == offered


def context(storage: str | None) -> typer.Context:
    """Return the context of a half-typed command."""
    made: typer.Context = typer.main.get_command(app).make_context("venation", [], resilient_parsing=True)
    made.params["storage"] = storage
    return made


def test_no_server_is_started_and_no_error_printed(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "home"))
    assert complete_studies(context(None), "") == [] and embedded.status() is None
    assert complete_studies(context("postgresql://nobody@127.0.0.1:1/none"), "") == []
    assert "".join(capsys.readouterr()) == ""
