"""YAML files with faults: one line that names the file, and no expansion."""

import random
from pathlib import Path

import pytest

from venation.data.yaml_file import read_yaml
from venation.errors import UsageError

LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
FAULTS = {
    "a word for a number": "a: !!int abc",
    "a word for a float": "a: !!float abc",
    "too many digits": "a: " + "9" * 5000,
    "a month too many": "a: 2001-99-99",
    "no timestamp": "a: !!timestamp 99",
    "no set": "a: !!set [1]",
    "no base 64": 'a: !!binary "é"',
    "deep": "a: " + "[" * 3000,
    "itself": "a: &a [*a]",
    "itself deeper": "a: &a {b: [*a]}",
    "a billion laughs": LAUGHS,
    "another tag": "a: !!python/object/apply:os.system [id]",
    "a key twice": "a: 1\na: 2",
    "a list for a key": "? [a]\n: b",
    "no characters": "\0",
    "two documents": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line_that_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"^study file `.*s\.yaml`") as caught:
        read_yaml(path, "study", "-f")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_plain_values_and_an_alias_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("a: &a [1, 2.5, true]\nb: *a\nc: {d: null}\n")
    assert read_yaml(path, "study", "-f") == {"a": [1, 2.5, True], "b": [1, 2.5, True], "c": {"d": None}}
    path.write_text("")
    assert read_yaml(path, "study", "-f") is None


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "s.yaml").open("wb") as file:
        file.truncate(2 << 20)
    with pytest.raises(UsageError, match="more than 1 MiB"):
        read_yaml(tmp_path / "s.yaml", "study", "-f")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read .*with -f"):
        read_yaml(tmp_path / "nothing.yaml", "study", "-f")


TOKENS = "a|: |- |[|]|{|}|, |&a |*a|!!int |!!float |!!set |!!omap |!!binary |!!timestamp "
TOKENS += "|? |<<: |>|\n|  |'|\"|#|---\n|1e9|.nan|é"


def test_any_text_is_read_or_refused(tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "any.yaml"
    for _ in range(500):
        path.write_text("".join(rng.choices(TOKENS.split("|"), k=rng.randrange(30))))
        try:
            read_yaml(path, "study", "-f")
        except UsageError as error:
            assert "\n" not in str(error)
