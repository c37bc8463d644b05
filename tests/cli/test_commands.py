"""All commands: help, JSON, stdout and stderr, confirmation."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from small_bundle import SmallBundle, rows, succeed, venation

from venation import __version__
from venation.cli import app


def walk_commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every group and command with the words that call it."""
    yield path, command
    for name, member in getattr(command, "commands", {}).items():
        yield from walk_commands(member, (*path, name))


ALL = dict(walk_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_option_and_argument_has_a_help_text(path: tuple[str, ...]) -> None:
    assert ALL[path].help
    assert [parameter.name for parameter in ALL[path].params if not getattr(parameter, "help", None)] == []
    assert ALL[path].help.splitlines()[0] in succeed(*path, "--help").replace("\n  ", " ")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_texts_are_sentences(path: tuple[str, ...]) -> None:
    """A capital letter or a digit first, and a full stop at the end of the help of a command."""
    command = ALL[path]
    texts = {parameter.name: parameter.help for parameter in command.params}
    assert command.help.rstrip().endswith(".")
    assert [name for name, text in texts.items() if not text[0].isupper() or not text.endswith(".")] == []


EXAMPLES = [line.strip() for command in ALL.values() for line in (command.epilog or "").splitlines()[2:]]


def test_the_main_commands_have_examples() -> None:
    paths = [("data", "check"), ("study", "create"), ("worker",), ("bundle", "export"), ("predict",), ("evaluate",)]
    assert [path for path in paths if not ALL[path].epilog] == []


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_a_command_with_its_options(line: str) -> None:
    program, *words = shlex.split(line)
    path = next(tuple(words[:length]) for length in (2, 1) if tuple(words[:length]) in ALL)
    command = ALL[path].commands["run"] if path == ("worker",) else ALL[path]
    command.make_context("venation", words[len(path) :])
    assert program == "venation"


def test_help_imports_no_heavy_package() -> None:
    heavy = ("torch", "optuna", "timm", "xgboost", "sklearn", "sqlalchemy", "PIL")
    code = f"import sys; import venation.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_version() -> None:
    assert succeed("--version").strip() == __version__


@pytest.mark.parametrize(("arguments", "heading"), [((), "Start:"), (("study",), "Start:"), (("db",), "Commands:")])
def test_no_arguments_show_the_help(arguments: tuple[str, ...], heading: str) -> None:
    result = venation(*arguments)
    assert result.exit_code == 2 and heading in result.output.splitlines()


def test_lists_and_reports_are_json_on_request(small_bundle: SmallBundle) -> None:
    (veins,) = [row for row in rows("study", "list") if row["study"] == "tiny-veins"]
    assert (veins["kind"], veins["base"], veins["budget"], veins["complete"]) == ("decoder", "tiny", 1, 1)
    assert rows("study", "show", "tiny")["spec"]["classes"] == ["cultivar_00", "cultivar_01", "cultivar_02"]
    (trial,) = rows("study", "trials", "tiny-boost")
    best = rows("study", "best", "tiny-boost")
    assert trial["state"] == "COMPLETE" and best["value"] == trial["value"] > 0
    assert rows("trial", "show", "tiny-veins", 0)["config"]["decoder"]["kind"] == "unet"
    assert rows("bundle", "show", small_bundle.path)["schema_version"] == 1
    assert rows("bundle", "check", small_bundle.path)["samples_difference"] == 0
    assert rows("data", "check", small_bundle.leaves) == []
    assert rows("db", "status")["studies"] >= 3
    assert {row["part"] for row in rows("evaluate", small_bundle.path, small_bundle.leaves, "--device", "cpu")} == {
        "test"
    }


def test_results_are_on_stdout_and_remarks_on_stderr(small_bundle: SmallBundle) -> None:
    arguments = ("study", "create", "tiny-copy", "--kind", "booster", "--base", "tiny:0", "--trials", 1)
    first, again = venation(*arguments), venation(*arguments)
    assert (first.stdout, again.stdout) == ("tiny-copy\n", "tiny-copy\n")
    assert "created; start `venation worker tiny-copy`" in first.stderr
    assert "exists already with the same spec" in again.stderr
    assert succeed("study", "delete", "tiny-copy", "--yes").startswith("deleted tiny-copy")


def test_delete_asks_for_confirmation(small_bundle: SmallBundle) -> None:
    result = venation("study", "delete", "tiny-boost")
    assert result.exit_code == 1 and "tiny-boost" in [row["study"] for row in rows("study", "list")]


def test_tables_show_names_that_look_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from venation.commands.printing import print_rows

    print_rows([{"path": "photos/[bold]a[/red].png", "label": ":leaf_fluttering_in_wind:"}])
    print_rows({"label": "[/b]"})
    shown = capsys.readouterr().out
    assert "photos/[bold]a[/red].png" in shown and ":leaf_fluttering_in_wind:" in shown and "label: [/b]" in shown


def test_inner_mappings_are_printed_as_indented_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from venation.commands.printing import print_rows

    metrics = {"test": {"iou": {"value": 0.81234567, "low": 0.7, "high": 0.9}}}
    print_rows({"metrics": metrics, "members": [], "sources": [{"study": "soy", "trial": 1}]})
    assert capsys.readouterr().out.splitlines() == [
        "metrics:",
        "  test:",
        "    iou: 0.8123 (0.7 to 0.9)",
        "members: -",
        "sources:",
        "  study=soy, trial=1",
    ]
    print_rows({"members": [{"weight": 1, "source": {"study": "soy"}}]})
    assert capsys.readouterr().out.splitlines() == [
        "members:",
        "  1:",
        "    weight: 1",
        "    source:",
        "      study: soy",
    ]
    print_rows([{"number": 0, "params": {"train.lr": 0.00123456, "gate": "mean"}}])
    assert "train.lr=0.001235, gate=mean" in capsys.readouterr().out


def test_db_start_status_and_init_print_the_url(small_bundle: SmallBundle) -> None:
    url = succeed("db", "start").strip()
    assert url.startswith("postgresql")
    assert json.loads(succeed("db", "status", "--json"))["url"] == succeed("db", "init").strip()
