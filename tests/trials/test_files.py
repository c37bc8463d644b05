"""A file is written completely or not at all."""

from pathlib import Path

import pytest

from venation.trials.files import atomic_write


def test_a_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("old", "new"):
        with atomic_write(path) as aside:
            aside.write_text(text)
            assert aside.parent == path.parent
            assert aside.suffix == ".txt"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), atomic_write(path) as aside:
        aside.write_text("ne")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
