"""The check reports names that look the same, and masks that no image uses."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from venation.data.check import check_data

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "bähr") for form in ("NFC", "NFD"))
SQUARE = np.pad(np.ones((4, 4), np.uint8), ((2, 4), (3, 5)))


def found(root: Path, *codes: str) -> dict[tuple[str, str, str], str]:
    rows = check_data(root)
    return {(row.level, row.code, row.path): row.message for row in rows if not codes or row.code in codes}


@pytest.fixture
def german(leaves: Path) -> Path:
    """Write a sound set with an image in one Unicode form and its mask in another."""
    (leaves / "images/ash/0.png").rename(leaves / f"images/ash/{DECOMPOSED}.png")
    (leaves / "masks/ash/0.png").rename(leaves / f"masks/ash/{COMPOSED}.png")
    if (leaves / f"images/ash/{COMPOSED}.png").exists():
        pytest.skip("this file system does not tell Unicode forms apart")
    return leaves


def test_other_unicode_forms_of_masks_are_sound(german):
    assert found(german) == {}


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_images_that_look_the_same_are_reported_with_escapes(german, save, extension):
    save(f"images/ash/{COMPOSED}.{extension}")
    rows = found(german)
    assert rows.keys() == {
        ("warning", "missing-mask", f"images/ash/{DECOMPOSED}.png"),
        ("warning", "case", f"images/ash/{DECOMPOSED}.png"),
    }
    message = rows["warning", "case", f"images/ash/{DECOMPOSED}.png"]
    assert f"'images/ash/ba\\u0308hr.png' and 'images/ash/b\\xe4hr.{extension}' differ only by" in message


def test_masks_that_look_the_same_are_reported_and_not_used(german, save):
    save(f"masks/ash/{DECOMPOSED}.png", SQUARE)
    rows = found(german)
    assert rows.keys() == {
        ("warning", "case", f"masks/ash/{DECOMPOSED}.png"),
        ("warning", "extra-mask", f"masks/ash/{COMPOSED}.png"),
    }
    assert (
        "its image has the mask 'ba\\u0308hr.png': delete one"
        in rows["warning", "extra-mask", f"masks/ash/{COMPOSED}.png"]
    )


def test_classes_that_look_the_same_are_an_error(leaves, save):
    for number in range(4):
        save(f"images/elm /{number}.jpg")
    rows = found(leaves, "case")
    assert rows["error", "case", "elm"].startswith("classes 'elm', 'elm ' differ only by case, blanks or Unicode form")


def test_groups_and_labels_of_a_manifest_that_look_the_same(leaves):
    rows = [f"images/{label}/{n}.png,{label},{label}{n}" for label in ("ash", "elm") for n in range(5)]
    rows += [f"images/oak/0.png,{COMPOSED},{COMPOSED}", f"images/oak/1.png,{DECOMPOSED},{DECOMPOSED}"]
    (leaves / "manifest.csv").write_text("image,label,group\n" + "\n".join(rows), encoding="utf-8")
    assert found(leaves, "case").keys() == {("error", "case", DECOMPOSED), ("warning", "case", DECOMPOSED)}


def test_a_second_mask_of_an_image_is_reported_with_the_one_in_use(leaves, save):
    save("masks/ash/0.gif", SQUARE)
    rows = found(leaves)
    assert rows == {
        ("warning", "extra-mask", "masks/ash/0.gif"): (
            "left out, because its image has the mask 0.png: delete one of them"
        )
    }


def test_files_that_are_no_masks_are_reported_as_such(leaves):
    (leaves / "masks/ash/0.png").rename(leaves / "masks/ash/0.npy")
    rows = found(leaves)
    assert rows["warning", "not-an-image", "masks/ash/0.npy"].startswith("not a mask by its extension, left out: save")


def test_a_folder_of_masks_in_capitals_is_reported(leaves):
    (leaves / "masks").rename(leaves / "MASKS")
    if (leaves / "masks").exists():
        pytest.skip("this file system does not tell case apart")
    assert found(leaves) == {
        ("warning", "not-read", "MASKS"): "folder 'MASKS' is left out, because masks are in masks/: rename it"
    }
