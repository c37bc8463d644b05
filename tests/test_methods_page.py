"""The page of the five systems: its rows name existing checks, and its fields are the presets."""

import ast
import functools
import itertools
import re
from fractions import Fraction
from typing import Any

import pytest
from doc_blocks import ROOT

from venation.spaces.fields import get_field
from venation.spaces.presets import recipe

PAGE = (ROOT / "docs" / "explanation" / "methods.md").read_text()
KINDS = {
    "Classifiers: the recipes": "classifier",
    "Decoders: the recipes": "decoder",
    "XMNet's booster": "booster",
}


def tables() -> dict[str, list[list[str]]]:
    """Return the cells of each table of checked items, by its heading."""
    found = {}
    for section in PAGE.split("\n### ")[1:]:
        title, _, text = section.partition("\n")
        _, head, table = text.partition("| published | ours | difference | checked by |\n")
        if head:
            _, *rows = itertools.takewhile(lambda line: line.startswith("|"), table.splitlines())
            found[title] = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return found


@functools.cache
def names_of_tests(path: str) -> set[str]:
    """Return the names of the tests in a file of this repository."""
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


TABLES = tables()


@pytest.mark.parametrize("title", TABLES)
def test_every_row_names_a_test_that_exists_or_a_command(title: str) -> None:
    for row in TABLES[title]:
        assert len(row) == 6 and all(row), row
        named = re.findall(r"`(tests/\S+\.py)::(\w+)`", row[-1])
        # Another test runs over all commands of the pages.
        assert named or "`venation " in row[-1], row
        assert [name for path, name in named if name not in names_of_tests(path)] == [], row


def parsed(text: str, value: Any) -> Any:
    """Return the text of a field as a value that compares with the preset's ``value``."""
    if isinstance(value, bool | str):
        return {"true": True, "false": False}.get(text, text)
    numbers = [float(Fraction(part)) for part in text.split(",")]
    return pytest.approx(tuple(numbers) if isinstance(value, tuple) else numbers[0])


@pytest.mark.parametrize("title", KINDS)
def test_the_fields_of_the_recipes_are_those_of_the_presets(title: str) -> None:
    compared = 0
    for _, systems, _, ours, *_ in TABLES[title]:
        for system in systems.split(", "):
            config = recipe(system.lower(), KINDS[title]).config
            for name, text in re.findall(r"`([\w.]+)=([^`]+)`", ours):
                value = get_field(config, name)
                assert value == parsed(text, value), f"{system}: {name} is {value}, the page says {text}"
                compared += 1
    assert compared >= 4


def test_all_five_systems_have_every_kind_of_value() -> None:
    """Name the items for which each system has a row."""
    rows = [(row[0], row[1].split(", ")) for row in TABLES["Classifiers: the recipes"]]
    for item in ("optimiser", "learning rate", "schedule", "epochs, batches", "resize and crop", "erasing", "gate"):
        systems = [system for name, names in rows for system in names if name == item]
        assert sorted(systems) == ["HERBS", "MGANet", "MNSA", "PIM", "XMNet"], item
