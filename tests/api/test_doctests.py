"""The examples of the Python API run as they are written: in its docstrings and on its page."""

import doctest
import shutil
from pathlib import Path
from types import FunctionType

import pytest
from small_bundle import SmallBundle

from venation.api.bundle import load_bundle
from venation.api.study import create_study, open_study
from venation.data.synthetic import write_leaves

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.md"


@pytest.fixture(autouse=True)
def _examples_folder(
    small_bundle: SmallBundle, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_bundle.path, tmp_path / "soy.bundle")
    write_leaves(tmp_path / "leaves", classes=3, images=6, size=40, seed=3)
    shutil.copy(next((tmp_path / "leaves" / "images").rglob("*.png")), tmp_path / "leaf.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VENATION_STORAGE", postgres_url)
    monkeypatch.setenv("VENATION_ARTIFACTS", str(tmp_path / "store"))


@pytest.mark.parametrize("functions", [[load_bundle], [create_study, open_study]])
def test_the_docstrings_examples_run(functions: list[FunctionType]) -> None:
    for function in functions:
        finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
        (examples,) = finder.find(function, globs=dict(function.__globals__))
        results = runner.run(examples)
        assert results.failed == 0 and results.attempted >= 3


def test_the_pages_examples_run() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.failed == 0 and results.attempted >= 15
