"""The words of the project: plain English in docstrings, comments, messages and pages."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
CODE = [
    path
    for path in ROOT.rglob("*.py")
    if not {"build", "demo"} & set(path.relative_to(ROOT).parts)
    and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
]

# Archaic words, and words with two readings. In backticks `nobody` is a user of the system.
BANNED = re.compile(r"(?<![`\w.])(mend(?:s|ed|ing)?|told|anew|nobody|whoever|somebody)(?![`\w])", re.IGNORECASE)
# A first line that asks a riddle: "What a trial came to", "Who may run a trial".
RIDDLE = re.compile(r"(Who|What|Whoever|Whatever)\b")


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield every docstring of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                yield text


def comments(path: Path) -> Iterator[str]:
    """Yield every comment of a file."""
    with path.open("rb") as file:
        yield from (token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT)


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_docstrings_and_comments_are_plain(path: Path) -> None:
    texts = list(docstrings(ast.parse(path.read_text())))
    assert [text.splitlines()[0] for text in texts if RIDDLE.match(text)] == []
    if path != Path(__file__):
        assert [match.group() for text in [*texts, *comments(path)] for match in BANNED.finditer(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_are_plain_and_their_lines_short(path: Path) -> None:
    text = path.read_text()
    assert [match.group() for match in BANNED.finditer(text)] == []
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    long = [line for line in prose.splitlines() if len(line) > 100 and not line.lstrip().startswith(("|", "![", "<"))]
    assert [line for line in long if not re.search(r"\]\(\S+\)|https?://", line)] == []


def test_the_checks_see_riddles_and_banned_words() -> None:
    assert RIDDLE.match("Who may run a trial") and not RIDDLE.match("Whole images as tensors")
    assert BANNED.search("it is told so") and not BANNED.search("the user `nobody`, amended, untold")
