"""The documentation: links resolve, commands exist, the site builds, and no page is left out."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from venation.cli import app

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = [name.split(".")[1] for name in PROJECT["tool"]["setuptools"]["packages"] if "." in name]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WHERE = [page.relative_to(ROOT).as_posix() for page in PAGES]

# An option given a value, `--device cuda:0`, or alone; `-o` is short.
OPTION = re.compile(r"--?[a-z][a-z-]*")


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be run, with the words that name it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))
GROUPS = {path[:1] for path in COMMANDS if len(path) == 2}


def shown_commands(text: str) -> list[str]:
    """Return the words after ``venation`` in blocks and in spans in backticks."""
    blocks = re.findall(
        r"^(?:    |\$ |.* -- )?(?:docker compose run --rm \S+|(?<!\S)venation) +(.+)$", text, re.MULTILINE
    )
    spans = re.findall(r"`venation +([^`]+)`", text)
    return [*blocks, *spans]


def check_command(line: str) -> None:
    """Raise unless ``line`` is a command, a group, or the head of one, with options that it has."""
    words = shlex.split(line.replace("…", "").replace("\\|", "|"), comments=True)
    path = tuple(words[:2]) if tuple(words[:1]) in GROUPS else tuple(words[:1])
    if path in GROUPS:
        return
    if path not in COMMANDS and (*path[:1], "run") in COMMANDS:
        words.insert(1, "run")  # the default command of a group may be left out
        path = tuple(words[:2])
    assert path in COMMANDS, f"`venation {line}`: there is no command {' '.join(path)}"
    known = {option for parameter in COMMANDS[path].params for option in parameter.opts} | {"--help"}
    given = {word.split("=")[0] for word in words[len(path) :] if OPTION.fullmatch(word.split("=")[0])}
    assert given <= known, f"`venation {line}`: no option {given - known}"


@pytest.mark.parametrize("page", PAGES, ids=WHERE)
def test_every_relative_link_resolves(page: Path) -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", page.read_text())
    local = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=WHERE)
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    for line in shown_commands(page.read_text()):
        check_command(line)


def test_the_checks_see_what_they_should() -> None:
    text = (
        "    venation study create soy --kind x\nsee `venation db status` and\n```\nvenation predict b p -o out/\n```\n"
    )
    assert len(shown_commands(text)) == 3
    for wrong in ("study creat x", "predict b p --overlays", "reports soy"):
        with pytest.raises(AssertionError, match=wrong):
            check_command(wrong)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    loaded = re.compile(r"<(?:script|img|link)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")
    assert {page.name: loaded.findall(page.read_text()) for page in pages if loaded.search(page.read_text())} == {}


def test_generated_pages_are_up_to_date() -> None:
    """`make docs-reference` writes them: commands, stored attributes and source files."""
    checked = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


def test_the_page_of_commands_has_every_command() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    visible = [" ".join(path) for path, command in COMMANDS.items() if not command.hidden]
    assert [name for name in visible if f"\n## venation {name}\n" not in page] == []


def test_the_page_of_files_has_every_file() -> None:
    page = (ROOT / "docs" / "reference" / "files.md").read_text()
    listed = re.findall(r"^\| `([\w/]+\.py)` \| \S", page, re.MULTILINE)
    there = [path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).glob("*.py")]
    there = [path for path in there if path.name != "__init__.py"] + [Path(p.name) for p in ROOT.glob("*.py")]
    assert sorted(listed) == sorted(path.as_posix() for path in there)


def test_every_file_of_a_feature_exists() -> None:
    page = (ROOT / "docs" / "explanation" / "features.md").read_text()
    named = re.findall(r"`(\w[\w/]*\.py)`", page)
    assert len(named) > 150 and [name for name in named if not (ROOT / name).is_file()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop().resolve()
        if page.suffix == ".md" and page.exists() and page not in reached:
            reached.add(page)
            todo += [page.parent / link for link in re.findall(r"\]\(([^)#:\s]+)", page.read_text())]
    assert [name for name, page in zip(WHERE, PAGES, strict=True) if page.resolve() not in reached] == []


def test_every_variable_and_exit_code_is_explained() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    sources = "".join(path.read_text() for room in ROOMS for path in (ROOT / room).glob("*.py"))
    variables = set(re.findall(r"\bVENATION_[A-Z_]+[A-Z]\b", sources))
    assert {name for name in variables if f"| `{name}` |" not in page} == set()
    assert all(f"| {code} | " in page for code in (0, 1, 2, 3, 70, 130))


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """No home folder, and not the folder that this checkout lies in."""
    folders = [r"/home/\w", r"/Users/\w", r"/root/\w", r"[A-Z]:\\Users\b"]
    if len(ROOT.parts) > 2:
        folders.append(rf"{re.escape(str(ROOT))}\b")
    forbidden = re.compile("|".join(folders))
    kinds = ("*.md", "*.toml", "*.yml", "Makefile", "Dockerfile", ".ci/run")
    files = [path for kind in kinds for path in ROOT.glob(kind)] + list((ROOT / "docs").rglob("*.md"))
    folders_of_code = [ROOT / name for name in (*ROOMS, "tests", "benchmarks")]
    files += [path for folder in folders_of_code for path in folder.rglob("*.py") if path != Path(__file__)]
    found = {str(path): forbidden.findall(path.read_text()) for path in files}
    assert {path: hits for path, hits in found.items() if hits} == {}


def test_the_tests_that_the_security_page_names_exist() -> None:
    page = (ROOT / "docs" / "explanation" / "security.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", page)
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text()]
    assert len(named) > 20 and missing == []
