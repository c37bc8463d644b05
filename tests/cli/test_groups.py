"""The command tree: headings of the help, the default command of `worker`, old command names."""

import re

import pytest
from small_bundle import EXPECTED_FAILURE, MISUSE, refuse, rows, succeed, venation

from venation.commands import worker


def sections(text: str) -> dict[str, list[str]]:
    """Return the names that a help text lists under each heading."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found[line[:-1]] = names = []
        elif re.match(r"  \S.*[^:]$", line) and found:
            names.append(line.split()[0])
    return found


def test_commands_are_grouped_under_headings() -> None:
    listed = sections(succeed("--help"))
    assert list(listed) == ["Options", "Start", "Inspect", "Operate", "Research"]
    assert listed["Start"] == ["demo", "try", "data", "study", "worker", "bundle", "predict", "serve"]
    assert listed["Operate"] == ["db", "artifacts", "metrics"]
    assert list(sections(succeed("study", "--help"))) == ["Options", "Start", "Inspect", "Operate", "Research"]


@pytest.mark.parametrize("path", [(), ("study",), ("worker",)], ids=" ".join)
def test_help_fits_80_columns_and_cuts_no_sentence(path: tuple[str, ...]) -> None:
    text = succeed(*path, "--help")
    assert max(map(len, text.splitlines())) <= 80 and "..." not in text.split("Commands:")[-1].split("Start:")[-1]


def test_the_help_of_worker_shows_its_options_and_its_commands() -> None:
    text = succeed("worker", "--help")
    listed = sections(text)
    assert listed["Commands"] == ["run", "list", "reap"]
    assert {"--gpus", "--until-idle", "--storage"} <= set(listed["Options"])
    assert "worker [OPTIONS] {STUDY}..." in text.splitlines()[0]
    assert sections(succeed("worker", "run", "--help"))["Options"] == listed["Options"]


@pytest.mark.parametrize(
    "words",
    [
        ("soy",),
        ("soy", "--max-trials", "2"),
        ("--max-trials", "2", "soy"),
        ("run", "soy"),
        ("--until-idle", "list"),
        ("run", "list"),
        ("run", "reap", "run"),
    ],
    ids=" ".join,
)
def test_worker_runs_trials_unless_another_command_is_named(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    opened: list[list[str]] = []
    monkeypatch.setattr(worker, "_open_contexts", lambda studies, *stores, **options: opened.append(studies))
    monkeypatch.setattr(worker, "_work", lambda contexts, **options: opened.append(options["max_trials"]))
    succeed("worker", *words)
    studies = [word for word in words[words[0] == "run" :] if word.isalpha()]
    assert opened == [studies, 2 if "--max-trials" in words else None]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Missing argument"),
        (("run",), "Missing argument"),
        (("--until-idle",), "Missing argument"),
        (("soy", "--gpu", "all"), "--gpu"),
        (("--jason",), "--jason"),
        (("soy", "--drain", "soon"), "--drain"),
        (("list", "soy"), "soy"),
        (("reap", "--interval", "0"), "--interval"),
    ],
    ids=str,
)
def test_invalid_worker_options_are_one_line_and_exit_code_2(words: tuple[str, ...], says: str) -> None:
    refuse(MISUSE, "worker", *words, says=(says,))


@pytest.mark.parametrize(
    ("old", "new", "arguments"),
    [
        ("workers", ("worker", "list"), ("--json",)),
        ("reaper", ("worker", "reap"), ("--once",)),
    ],
)
def test_an_old_name_runs_the_command_and_reports_the_new_name(
    postgres_url: str, old: str, new: tuple[str, str], arguments: tuple[str, ...]
) -> None:
    places = (*arguments, "--storage", postgres_url)
    found, expected = venation(old, *places), venation(*new, *places)
    assert (found.exit_code, found.stdout) == (expected.exit_code, expected.stdout) == (0, expected.stdout)
    remark = f"`venation {old}` is now `venation {' '.join(new)}`; the old name goes away in 0.3\n"
    assert found.stderr == remark + expected.stderr


def test_the_old_name_of_simulate_passes_its_arguments_on(postgres_url: str) -> None:
    result = venation("simulate", "soy", "--workers", "2", "--storage", postgres_url)
    first, second = result.stderr.splitlines()
    assert first == "`venation simulate` is now `venation study simulate`; the old name goes away in 0.3"
    assert result.exit_code == EXPECTED_FAILURE and second.startswith("Error: study `soy` does not exist")


def test_old_names_are_not_listed() -> None:
    text = succeed("--help")
    assert not {"workers", "reaper", "simulate"} & {name for names in sections(text).values() for name in names}
    assert "worker list" in succeed("workers", "--help")


def test_the_list_without_workers_is_empty(postgres_url: str) -> None:
    assert rows("worker", "list", "--storage", postgres_url) == []
