"""Run every command of the documentation on small data, or find a reason not to run it."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from doc_blocks import ROOT, Block, make_small, read_blocks, split_line
from small_bundle import make_bundle, succeed, venation
from sql_helpers import execute
from test_docs import PAGES, PROJECT, check_command

from venation.data.synthetic import write_leaves

WITH_BLOCKS = {page.relative_to(ROOT).as_posix(): read_blocks(page.read_text()) for page in PAGES}
WITH_BLOCKS = {name: blocks for name, blocks in WITH_BLOCKS.items() if blocks}
RUN = {name: [block for block in blocks if block.reason is None] for name, blocks in WITH_BLOCKS.items()}
RUN = {name: blocks for name, blocks in RUN.items() if blocks}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Prepared:
    """Finished studies ``soy``, ``soy-veins`` and ``soy-boost``, their files, and a bundle."""

    url: str
    artifacts: Path
    folder: Path


@pytest.fixture(scope="module")
def prepared(_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """Train the studies that all pages name, once."""
    folder = tmp_path_factory.mktemp("docs")
    url = _server.replace("/venation?", "/docs?")
    execute(_server, "CREATE DATABASE docs TEMPLATE template0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VENATION_STORAGE", url)
        patch.setenv("VENATION_ARTIFACTS", str(folder / "artifacts"))
        made = make_bundle(folder, "soy", trials=2)  # a replay needs two
    work = folder / "work"
    shutil.copytree(made.leaves, work / "leaves")
    shutil.copytree(made.leaves, work / "beans")
    shutil.copytree(made.path, work / "soy.bundle")
    shutil.copytree(made.path, work / "birds.bundle")
    write_leaves(work / "drawn", classes=3, images=2, size=50, seed=6)
    shutil.copytree(work / "drawn" / "images", work / "photos")
    write_ufg(work / "drawn" / "images", work / "soy-local")
    yield Prepared(url, folder / "artifacts", work)
    execute(_server, "DROP DATABASE docs WITH (FORCE)")


def write_ufg(images: Path, out: Path) -> None:
    """Write a small set in the layout of the ultra-fine-grained data sets: images and two lists."""
    paths = sorted(path.relative_to(images) for path in images.rglob("*.png"))
    shutil.copytree(images, out / "images")
    for split, chosen in (("train", paths), ("test", [])):
        rows = [f"{path.as_posix()},{int(path.parent.name[-2:])}" for path in chosen]
        (out / f"{split}.csv").write_text("\n".join(["image_id,class_id", *rows]) + "\n")


# The tutorial begins with an empty folder and database.
FROM_NOTHING = "docs/tutorial/"


@pytest.fixture
def page_folder(
    page: str, prepared: Prepared, _server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Copy the prepared folder, database and artifact store for one page."""
    name, template = "docs_page", "docs"
    if page.startswith(FROM_NOTHING):
        template = "template0"
    else:
        for source in prepared.folder.iterdir():
            shutil.copytree(source, tmp_path / source.name)
        shutil.copytree(prepared.artifacts, tmp_path / "store")
    # A database with open connections is no template.
    disconnect = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'"
    execute(_server, disconnect, f"CREATE DATABASE {name} TEMPLATE {template}")
    monkeypatch.setenv("VENATION_STORAGE", prepared.url.replace("/docs?", f"/{name}?"))
    monkeypatch.setenv("VENATION_ARTIFACTS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    execute(_server, f"DROP DATABASE {name} WITH (FORCE)")


def run_line(line: str) -> None:
    """Run a line of a page, or check that the files and targets exist which it names."""
    words, output = split_line(line)
    match words:
        case ["venation", "db", "doctor", *rest]:
            # The server of the tests does without fsync, which the doctor reports.
            result = venation("db", "doctor", *rest)
            assert result.exit_code == 1 and result.stdout.count(" bad ") == 1, result.output
        case ["venation", *rest]:
            printed = succeed(*make_small(rest))
            if output is not None:
                Path(output).write_text(printed)
        case ["python", script, *options]:
            source = (ROOT / script).read_text()
            assert [option for option in options if option not in source] == [], line
        case ["make", target]:
            assert target in TARGETS, line
        case [".", ".venv/bin/activate"]:
            assert "VENV := .venv\n" in (ROOT / "Makefile").read_text()
        case ["pip", "install", "." | ".[search]"]:
            assert PROJECT["project"]["name"] == "venation"
        case _:
            raise AssertionError(f"no test runs `{line}`: write `<!-- not run: REASON -->` above its block")


@pytest.mark.parametrize("page", RUN)
def test_commands_of_a_page_run(page: str, page_folder: Path) -> None:
    for block in RUN[page]:
        for line in block.lines:
            run_line(line)
    assert os.listdir(page_folder)


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_that_are_not_run_say_why_and_name_real_commands(page: str) -> None:
    for block in WITH_BLOCKS[page]:
        if block.reason is not None:
            assert len(block.reason) > 5
            for line in venation_lines(block):
                check_command(line)


def venation_lines(block: Block) -> list[str]:
    """Return the arguments of every ``venation`` in a block, also inside a container."""
    pattern = re.compile(r"(?:^|-- )venation (.+)$|docker compose run .*--rm db-init ([a-z].*)$")
    found = [pattern.search(line) for line in block.lines]
    return [match[1] or match[2] for match in found if match]


def test_blocks_are_found_with_their_reasons() -> None:
    text = "<!-- not run: needs a GPU -->\n```sh\nvenation worker a  # x\n```\n\n```sh\n\nvenation db status > f\n```\n"
    first, second = read_blocks(text)
    assert first.reason == "needs a GPU" and first.lines == ("venation worker a  # x",)
    assert second.reason is None and split_line(second.lines[0]) == (["venation", "db", "status"], "f")
    with pytest.raises(AssertionError, match="not run"):
        run_line("curl example")
