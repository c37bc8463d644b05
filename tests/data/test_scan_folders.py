"""Masks are found by class and stem in any Unicode form; misnamed split folders are flaws."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from venation.data.fingerprint import digests
from venation.data.manifest import load_manifest
from venation.errors import DataError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "érable") for form in ("NFC", "NFD"))
SQUARE = np.pad(np.ones((4, 4), np.uint8), ((2, 4), (3, 5)))


@pytest.fixture
def two_forms(tmp_path: Path) -> None:
    """Skip the test on file systems that do not distinguish Unicode forms."""
    (tmp_path / COMPOSED).touch()
    exists = (tmp_path / DECOMPOSED).exists()
    (tmp_path / COMPOSED).unlink()
    if exists:
        pytest.skip("this file system does not tell Unicode forms apart")


def masks(root: Path) -> dict[str, str]:
    manifest = load_manifest(root)
    return {
        manifest.key(sample): sample.mask.relative_to(root).as_posix()
        for sample in manifest.samples
        if sample.mask is not None
    }


@pytest.mark.parametrize("split", ["", "train/"])
@pytest.mark.parametrize(("image", "mask"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_mask_matches_its_image_in_another_unicode_form(save, tmp_path, two_forms, split, image, mask):
    save(f"images/{split}{image}/{image}.png")
    save(f"images/{split}oak/1.png")
    save(f"masks/{split}{mask}/{mask}.PNG", SQUARE)
    assert masks(tmp_path) == {f"images/{split}{image}/{image}.png": f"masks/{split}{mask}/{mask}.PNG"}


def test_a_blank_at_the_end_of_a_class_folder_does_not_hide_its_masks(save, tmp_path):
    for name in ("images/ash /1.png", "images/oak/1.png"):
        save(name)
    for name in ("masks/ash/1.png", "masks/oak /1.png"):
        save(name, SQUARE)
    assert masks(tmp_path) == {"images/ash /1.png": "masks/ash/1.png", "images/oak/1.png": "masks/oak /1.png"}
    assert load_manifest(tmp_path).classes == ("ash ", "oak")


def test_two_classes_that_look_the_same_do_not_share_masks(save, tmp_path, two_forms):
    for label in (COMPOSED, DECOMPOSED):
        save(f"images/{label}/1.png")
    save(f"masks/{COMPOSED}/1.png", SQUARE)
    assert masks(tmp_path) == {f"images/{COMPOSED}/1.png": f"masks/{COMPOSED}/1.png"}
    assert len(load_manifest(tmp_path).classes) == 2


def test_a_similar_name_in_another_split_does_not_share_a_mask(save, tmp_path, two_forms):
    for name in (
        f"train/oak/{COMPOSED}.png",
        f"val/oak/{DECOMPOSED}.png",
        f"val/{DECOMPOSED}/1.png",
        "train/ash/1.png",
    ):
        save(name)
    save(f"train/{COMPOSED}/1.png")
    for name in (f"masks/oak/{COMPOSED}.png", f"masks/{COMPOSED}/1.png"):
        save(name, SQUARE)
    assert masks(tmp_path) == {
        f"train/oak/{COMPOSED}.png": f"masks/oak/{COMPOSED}.png",
        f"train/{COMPOSED}/1.png": f"masks/{COMPOSED}/1.png",
    }


def test_an_equal_name_keeps_its_mask_beside_one_that_looks_the_same(save, tmp_path, two_forms):
    for name in ("images/oak/2.png", f"images/ash/{COMPOSED}.png", f"masks/ash/{COMPOSED}.png"):
        save(name, SQUARE)
    before = digests(load_manifest(tmp_path))
    save(f"masks/ash/{DECOMPOSED}.png", 1 - SQUARE)
    assert digests(load_manifest(tmp_path)) == before


def test_gif_masks_are_found_and_come_after_every_other_kind(save, tmp_path):
    for name in ("1.png", "2.png"):
        save(f"images/ash/{name}")
        save(f"images/oak/{name}")
    for name in ("1.gif", "2.gif", "2.bmp"):
        save(f"masks/ash/{name}", SQUARE)
    assert masks(tmp_path) == {"images/ash/1.png": "masks/ash/1.gif", "images/ash/2.png": "masks/ash/2.bmp"}


def test_gif_images_are_not_samples(save, tmp_path):
    for name in ("ash/1.png", "oak/1.png", "oak/2.gif"):
        save(name, SQUARE)
    assert len(load_manifest(tmp_path).samples) == 2


@pytest.mark.parametrize("folders", [("Train", "Test"), ("train", "Test")])
def test_a_split_folder_in_capitals_is_named(save, tmp_path, folders):
    for folder in folders:
        for label in ("ash", "oak"):
            save(f"{folder}/{label}/{folder}.png")
    with pytest.raises(DataError, match="folder Test/ is not one of train, val, test: rename it to test/"):
        load_manifest(tmp_path)


def test_a_class_may_be_called_test(save, tmp_path):
    for name in ("Test/1.png", "oak/1.png"):
        save(name)
    assert load_manifest(tmp_path).classes == ("Test", "oak")
