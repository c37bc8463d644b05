"""The images that paths stand for: files, folders and patterns."""

from pathlib import Path

import pytest

from venation.errors import DataError
from venation.trials.prediction import expand_paths


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.JPG", "c.png", "notes.txt", "deep/d.jpg", "deep/er/e.jpg", ".hidden/f.jpg", "[g].jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["[g].jpg", "a.JPG", "b.jpg", "c.png"]),
        ("?.jpg", ["b.jpg"]),
        ("[ac].*", ["a.JPG", "c.png"]),
        ("**/*.jpg", ["[g].jpg", "b.jpg", "d.jpg", "e.jpg"]),
        ("deep/**", ["d.jpg", "e.jpg"]),
        # A file that is there is meant, whatever its name.
        ("[g].jpg", ["[g].jpg"]),
    ],
)
def test_a_pattern_stands_for_the_image_files_that_it_matches(photos: Path, pattern: str, names: list[str]) -> None:
    assert [path.name for path in expand_paths([photos / pattern])] == names


def test_a_pattern_leaves_out_the_pictures_of_an_earlier_run(photos: Path) -> None:
    found = expand_paths([photos / "**/*.jpg"], exclude=[photos / "deep"])
    assert [path.name for path in found] == ["[g].jpg", "b.jpg"]
    assert len(expand_paths([photos / "deep/**/*.jpg"], exclude=[photos / "deep"])) == 2


def test_a_pattern_without_an_image_and_a_missing_path_are_refused(photos: Path) -> None:
    for name, says in (("*.tif", "no image matches"), ("*.txt", "no image matches"), ("no.jpg", "does not exist")):
        with pytest.raises(DataError, match=says):
            expand_paths([photos / name])
