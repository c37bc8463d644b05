"""The class-to-group map: read from ``groups.json``, refused in one line if it is malformed."""

from pathlib import Path

import pytest

from venation.data.groups import find_groups, read_groups
from venation.errors import DataError

CLASSES = ("oak", "ash", "elm")


def test_a_map_is_read_in_any_order(tmp_path: Path) -> None:
    assert find_groups(tmp_path) is None
    path = tmp_path / "groups.json"
    path.write_text('{"elm": "Ulmaceae", "oak": "Fagaceae", "ash": "Öl"}', encoding="utf-8")
    assert find_groups(tmp_path) == path
    assert read_groups(path, CLASSES) == {"oak": "Fagaceae", "ash": "Öl", "elm": "Ulmaceae"}


def test_a_class_in_another_unicode_form_keeps_the_name_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text('{"o\u0308l": "x", "ash ": "y"}', encoding="utf-8")
    assert read_groups(path, ("\u00f6l", "ash")) == {"\u00f6l": "x", "ash": "y"}
    with pytest.raises(DataError, match="has class o\u0308l, which the model does not know"):
        read_groups(path, ("\u00f6l", "\u00f6l ", "ash"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"oak": "x", "ash": "x"', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'[["oak", "x"]]', "not a flat JSON object"),
        (b"{}", "not a flat JSON object"),
        (b"7", "not a flat JSON object"),
        (b'{"oak": {"ash": "x"}}', "not a flat JSON object"),
        (b'{"oak": 1, "ash": 2, "elm": 3}', "not a flat JSON object"),
        (b'{"oak": "x", "ash": "x"}', "gives class elm no group: add one"),
        (b'{"oak": "x", "ash": "x", "elm": "x", "fir": "y"}', "has class fir, which the model does not know"),
        (b'{"oak": "x", "ash": "x", "elm": "x", "oak": "y"}', "gives class oak a group twice"),
    ],
)
def test_a_bad_map_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "groups.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_groups(path, CLASSES)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_missing_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent.json cannot be read"):
        read_groups(tmp_path / "absent.json", CLASSES)
