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


def test_the_masks_of_a_data_set_are_left_out_unless_they_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("images/a/1.jpg", "images/b/2.jpg", "masks/a/1.png", "masks/b/2.png"):
        path = tmp_path / "leaves" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    images, masks = (sorted(Path("leaves", kind).rglob("*.*g")) for kind in ("images", "masks"))
    for given in (Path("leaves"), Path("leaves/**/*.*g")):
        caplog.clear()
        assert expand_paths([given]) == images
        assert [record.getMessage() for record in caplog.records] == [
            "leaves: left out 2 masks of the data set; name the folder of masks to have them predicted"
        ]
    caplog.clear()
    for given in (Path("leaves/masks"), Path("leaves/masks/**/*.png"), Path("*/masks/**/*.png")):
        assert expand_paths([given]) == masks
    assert caplog.records == []
