"""The masks of data sets among files: by folders, splits and CSV files; photographs of masks."""

from pathlib import Path

import pytest

from venation.data.mask_files import masks_among


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(root: Path) -> list[str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return sorted(path.relative_to(root).as_posix() for path in masks_among(files, root))


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        # With images/ beside it, every picture in masks/, whatever its name.
        (["images/a/1.jpg", "images/b/2.jpg"], ["masks/a/1.png", "masks/a/1.gif", "masks/other.png"]),
        (["images/1.jpg"], ["masks/1.png"]),
        (["images/train/a/1.jpg", "images/test/a/2.jpg"], ["masks/train/a/1.png", "masks/test/a/2.png"]),
        # Classes beside masks/: a mask of one image is enough.
        (["a/1.jpg", "b/2.jpg"], ["masks/a/1.png", "masks/b/3.png"]),
        (["train/a/1.jpg", "val/a/2.jpg"], ["masks/a/1.png"]),
        # No data set: photographs of masks, whose names are those of no image.
        (["a/1.jpg", "masks/1.jpg", "masks/2.jpg"], []),
        (["masks/1.jpg"], []),
        # A data set below the folder.
        (["photo.jpg", "sets/one/images/a/1.jpg"], ["sets/one/masks/a/1.png"]),
    ],
)
def test_masks_are_those_of_the_layouts(tmp_path: Path, images: list[str], masks: list[str]) -> None:
    touch(tmp_path, *images, *masks, "masks/notes.txt")
    assert found(tmp_path) == sorted(masks)


def test_a_csv_names_masks_in_any_folder(tmp_path: Path) -> None:
    touch(tmp_path, "photos/1.jpg", "photos/2.jpg", "veins/1.png", "veins/2.png")
    (tmp_path / "manifest.csv").write_text("image,label,mask\nphotos/1.jpg,a,veins/1.png\nphotos/2.jpg,b,\n")
    assert found(tmp_path) == ["veins/1.png"]
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe no table")
    assert found(tmp_path) == []


def test_a_folder_of_masks_that_is_given_is_no_data_set(tmp_path: Path) -> None:
    touch(tmp_path, "images/a/1.jpg", "masks/a/1.png")
    assert found(tmp_path) == ["masks/a/1.png"]
    assert found(tmp_path / "masks") == found(tmp_path / "masks/a") == []
