"""Files that are no images by their extensions are counted, not silently left out."""

import logging
from pathlib import Path

import pytest
from PIL import Image

from venation.data.left_out import describe_left_out, left_out_of
from venation.data.manifest import load_manifest
from venation.trials.prediction import expand_paths


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write pictures as phones and browsers name them, an AVIF file, a text and a hidden file."""
    for label in ("ash", "elm"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for name, kind in (("one.PNG", "PNG"), ("two.jfif", "JPEG"), ("three.jpe", "JPEG")):
            Image.new("RGB", (32, 32)).save(folder / name, format=kind)
        for name in ("four.AVIF", "five.avif", "notes.txt", ".hidden"):
            (folder / name).write_bytes(b"\0\0\0\x18ftypavif")
    return tmp_path / "photos"


def test_prediction_counts_the_files_that_it_leaves_out(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = expand_paths([photos / "ash"])
    assert sorted(path.name for path in found) == ["one.PNG", "three.jpe", "two.jfif"]
    (line,) = caplog.messages
    assert line == (
        f"{photos / 'ash'}: left out 3 files that are no images by their extensions (2 .avif, 1 .txt);"
        " save photos as JPEG to have them read"
    )


def test_a_data_set_counts_those_of_all_classes(photos: Path) -> None:
    manifest = load_manifest(photos)
    assert len(manifest.samples) == 6
    assert "left out 6 files" in str(left_out_of(manifest)) and "4 .avif, 2 .txt" in str(left_out_of(manifest))


def test_nothing_is_said_where_every_file_is_an_image(photos: Path) -> None:
    assert describe_left_out([photos / "ash" / "one.PNG", photos / "ash" / ".hidden"]) is None
    assert "1 file that is no image by its extension (1 no extension)" in str(describe_left_out([_bare(photos)]))


def _bare(folder: Path) -> Path:
    (folder / "README").write_text("photos")
    return folder / "README"
