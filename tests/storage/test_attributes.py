"""Each stored key is declared, used by its constant only, and listed in the docs."""

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import text
from study_helpers import StudyHarness

from venation.storage import attributes
from venation.storage.attributes import ALL, Attribute
from venation.storage.database import open_storage, resolve_url

if TYPE_CHECKING:
    from small_bundle import SmallBundle

ROOT = Path(__file__).parents[2]
TABLES = ("study_user", "study_system", "trial_user", "trial_system")
PACKAGE = [*ROOT.glob("*.py"), *(path for path in ROOT.glob("*/*.py") if (path.parent / "__init__.py").exists())]
MODULES = sorted(path for path in PACKAGE if path != ROOT / "storage" / "attributes.py")
KEYS = {attribute.key for attribute in ALL}
# Unmistakable keys. The others, such as `config`, are also names of JSON fields and columns.
NAMESPACED = {key for key in KEYS if ":" in key} | {"fixed_params"}


def declared(table: str, key: str) -> list[Attribute[Any]]:
    """Return the declarations of a stored key of one table."""
    there = [attribute for attribute in ALL if attribute.table == table]
    return [a for a in there if key == a.key or (a.is_prefix and key.startswith(a.key))]


def by_table() -> list[Attribute[Any]]:
    """Return all declarations, grouped by table."""
    return sorted(ALL, key=lambda attribute: TABLES.index(attribute.table))


def stored(storage: RDBStorage) -> Iterator[tuple[str, str, Any]]:
    """Yield table, key and value of each row of the four attribute tables."""
    with storage.engine.connect() as connection:
        for table in TABLES:
            for key, value in connection.execute(text(f"SELECT key, value_json FROM {table}_attributes")):
                yield table, key, json.loads(value)


def undeclared(storage: RDBStorage) -> list[tuple[str, str]]:
    """Return the stored keys that are not declared exactly once with their table and value type."""
    wrong = []
    for table, key, value in stored(storage):
        found = declared(table, key)
        types = (int, float) if found and found[0].value_type is float else found and found[0].value_type
        if len(found) != 1 or not isinstance(value, types):
            wrong.append((table, key))
    return wrong


def used_literals(tree: ast.Module) -> Iterator[str]:
    """Yield literals of stored keys.

    Namespaced keys count anywhere, the others where attributes are read, set or named.
    """
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield from (key for key in NAMESPACED if key in node.value)
            if "_attributes" in node.value:
                # Not a field of a JSON value: ->> 'started'.
                yield from (key for key in KEYS if re.search(f"(?<!->> )'{key}'", node.value))
    for node in ast.walk(tree):
        places: list[ast.expr] = []
        if isinstance(node, ast.Subscript) and "_attrs" in ast.unparse(node.value):
            places = [node.slice]
        elif isinstance(node, ast.Compare) and "_attrs" in ast.unparse(node.comparators[0]):
            places = [node.left]
        elif isinstance(node, ast.Call) and ("_attr" in ast.unparse(node.func)):
            places = node.args
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            places = [node.value]
        yield from (place.value for place in places if isinstance(place, ast.Constant) and place.value in KEYS)


def test_each_key_is_declared_once_for_its_table() -> None:
    names = [(attribute.table, attribute.key) for attribute in ALL]
    assert len(names) == len(set(names))
    for table, key in names:
        assert len(declared(table, key)) == 1, f"{key} is covered twice"


def test_everything_that_studies_of_each_kind_store_is_declared(small_bundle: "SmallBundle") -> None:
    storage = open_storage(resolve_url(None))
    assert undeclared(storage) == []
    assert {"venation:spec", "venation:base", "metrics", "history"} <= {key for _, key, _ in stored(storage)}
    storage.engine.dispose()


def test_everything_that_rungs_objectives_and_constraints_store_is_declared(harness: StudyHarness) -> None:
    handle = harness.create(
        trials=4,
        pruner="asha",
        objective=["accuracy", "macro_f1", "parameters"],
        constraint="macs<=1e12",
        settings={"train.epochs": 3},
    )
    harness.work(handle)
    assert undeclared(harness.storage) == []
    found = {(table, key) for table, key, _ in stored(harness.storage)}
    used = {a for a in ALL if any(table == a.table and key.startswith(a.key) for table, key in found)}
    rungs = {attributes.CURVES, attributes.COSTS, attributes.CONSTRAINT, attributes.RUNGS_PASSED, attributes.PAUSED}
    assert rungs < used and attributes.METRIC_NAMES in used and attributes.STARTED in used


@pytest.mark.parametrize("path", MODULES, ids=[path.relative_to(ROOT).as_posix() for path in MODULES])
def test_other_modules_use_no_literal_of_a_stored_key(path: Path) -> None:
    assert sorted(set(used_literals(ast.parse(path.read_text())))) == []


def test_the_scan_finds_literals() -> None:
    uses = ('x.user_attrs["cause"]', '"cause" in x.user_attrs', 'x.user_attrs.get("cause", 1)', 'CAUSE = "cause"')
    sql = "\"SELECT FROM trial_user_attributes WHERE key = 'cause'\""
    for line in (*uses, 'x.set_user_attr("cause", 1)', f"x = {sql}"):
        assert set(used_literals(ast.parse(line))) == {"cause"}, line
    assert set(used_literals(ast.parse('f"venation:signal:{x}"'))) == {"venation:signal:"}
    assert set(used_literals(ast.parse('row = {"cause": 1, "config": x["config"]}'))) == set()


@pytest.mark.parametrize("attribute", ALL, ids=[f"{a.table}-{a.key}" for a in ALL])
def test_the_writer_of_a_key_uses_its_constant(attribute: Attribute[Any]) -> None:
    name = next(name for name, value in vars(attributes).items() if value is attribute)
    if attribute.writer != "Optuna":
        module = importlib.import_module("venation." + attribute.writer.removesuffix(".py").replace("/", "."))
        assert name in Path(str(module.__file__)).read_text()


def test_a_value_is_read_from_and_written_to_its_table(storage: RDBStorage) -> None:
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    attributes.SUSPENDED.set(study, "no disk")
    attributes.CAUSE.set(trial, "oom: too large")
    attributes.CONSTRAINT.at("macs<=5").set(trial, 0.5)
    (frozen,) = study.get_trials()
    assert study.user_attrs == {"paused": "no disk"} and attributes.SUSPENDED.get(study) == "no disk"
    assert frozen.user_attrs == {"cause": "oom: too large"} and attributes.CAUSE.need(frozen) == "oom: too large"
    assert frozen.constraints == {"macs<=5": 0.5} and attributes.CONSTRAINT.at("macs<=5").get(frozen) == 0.5
    assert attributes.UID.get(study) is None
    with pytest.raises(KeyError, match="venation:uid"):
        attributes.UID.need(study)


def test_the_docs_page_lists_the_declared_keys() -> None:
    page = (ROOT / "docs" / "reference" / "attributes.md").read_text()
    sections = re.split(r"^## (\w+)_attributes$", page, flags=re.MULTILINE)[1:]
    listed = [
        (table, key, meaning)
        for table, section in zip(sections[::2], sections[1::2], strict=True)
        for key, meaning in re.findall(r"^\| `([^`…]+)…?`.* \| (.+) \|$", section, re.MULTILINE)
    ]
    assert listed == [(attribute.table, attribute.key, attribute.meaning) for attribute in by_table()]
