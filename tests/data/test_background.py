"""Backgrounds that name the class, and backgrounds that do not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from venation.data.background import binomial_tail, cross_validated_hits, measure_background
from venation.data.check import check_data
from venation.data.manifest import load_manifest


def write_photos(root: Path, *, card: bool, classes: int = 3, images: int = 8) -> Path:
    """Write noise squares as structures, on a card of a colour of its class or of any colour."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        for number in range(images):
            colour = (40 + 70 * label, 120, 200 - 60 * label) if card else rng.integers(0, 256, 3)
            pixel_HW3 = np.full((48, 48, 3), colour, np.uint8)
            pixel_HW3[12:36, 12:36] = rng.integers(0, 256, (24, 24, 3))
            mask_HW = np.zeros((48, 48), np.uint8)
            mask_HW[12:36, 12:36] = 255
            for kind, array in (("images", pixel_HW3), ("masks", mask_HW)):
                folder = root / kind / f"c{label}"
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / f"{number}.png")
    return root


def test_a_card_of_the_class_is_a_warning(tmp_path: Path) -> None:
    (found,) = check_data(write_photos(tmp_path / "card", card=True))
    assert (found.level, found.code) == ("warning", "background")
    assert "name the class of 100% of the images (chance: 33%)" in found.message


def test_any_card_is_no_warning_and_masks_are_needed(tmp_path: Path) -> None:
    root = write_photos(tmp_path / "any", card=False)
    measured = measure_background(load_manifest(root).samples)
    assert measured is not None and measured.images == 24 and not measured.leaks
    leaky = write_photos(tmp_path / "card", card=True)
    for mask in (leaky / "masks").rglob("*.png"):
        mask.unlink()
    assert measure_background(load_manifest(leaky / "images").samples) is None


def test_two_halves_of_a_group_are_in_one_fold(tmp_path: Path) -> None:
    """Each class has one group, so that no fit has seen a class that it is asked for."""
    root = write_photos(tmp_path / "card", card=True)
    lines = ["image,label,mask,group"]
    lines += [f"images/c{c}/{n}.png,c{c},masks/c{c}/{n}.png,g{c}" for c in range(3) for n in range(8)]
    (root / "manifest.csv").write_text("\n".join(lines))
    measured = measure_background(load_manifest(root).samples)
    assert measured is not None and measured.hits == 0 and not measured.leaks


def test_the_classifier_is_ridge_regression_on_standardised_features() -> None:
    rng = np.random.default_rng(0)
    label_I, fold_I = rng.integers(0, 3, 60), np.arange(60) % 4
    x_IC = rng.normal(size=(60, 5)) + label_I[:, None]
    hits = 0
    for fold in range(4):
        scaler = StandardScaler().fit(x_IC[fold_I != fold])
        ridge = RidgeClassifier(alpha=10.0).fit(scaler.transform(x_IC[fold_I != fold]), label_I[fold_I != fold])
        hits += int((ridge.predict(scaler.transform(x_IC[fold_I == fold])) == label_I[fold_I == fold]).sum())
    # scikit-learn does not penalise the intercept.
    assert abs(cross_validated_hits(x_IC, label_I, fold_I) - hits) <= 3


@pytest.mark.parametrize(("hits", "total", "chance"), [(0, 10, 0.3), (7, 20, 0.25), (900, 1000, 0.2)])
def test_the_tail_is_that_of_scipy(hits: int, total: int, chance: float) -> None:
    assert binomial_tail(hits, total, chance) == pytest.approx(binom.sf(hits - 1, total, chance), abs=1e-12)
