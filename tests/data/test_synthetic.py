"""Synthetic leaves: reproducible by seed, exact masks, geometry as the cultivar's only cue."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from venation.data.synthetic import draw_leaf, write_leaves
from venation.data.venation_model import Traits
from venation.errors import DataError, UsageError

CLASSES = 5


EIGHT = np.ones((3, 3), dtype=int)


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images, masks and labels of 24 leaves of each of five cultivars at 128 pixels."""
    leaves = [(*draw_leaf(c, seed, size=128), c) for c in range(CLASSES) for seed in range(24)]
    pictures, masks, labels = zip(*leaves, strict=True)
    return np.stack(pictures), np.stack(masks), np.array(labels)


def held_out_accuracy(x: np.ndarray, y: np.ndarray) -> float:
    """Return the accuracy on every third sample of a linear classifier fitted to the others."""
    test = np.arange(len(y)) % 3 == 0
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()).fit(x[~test], y[~test]).score(x[test], y[test])


def test_a_leaf_is_reproducible_and_depends_on_the_seed() -> None:
    first, again, other = (draw_leaf(2, seed, size=64) for seed in (7, 7, 8))
    for a, b, c in zip(first, again, other, strict=True):
        assert a.tobytes() == b.tobytes()
        assert a.tobytes() != c.tobytes()


def test_the_global_generator_is_unchanged() -> None:
    before = np.random.get_state()[1].copy()
    draw_leaf(0, 0, size=32)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("size", [32, 97, 256])
def test_shapes_and_types(size: int) -> None:
    picture, mask = draw_leaf(1, 3, size=size)
    assert picture.shape == (size, size, 3) and mask.shape == (size, size)
    assert picture.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


def test_masks_are_thin_connected_and_off_the_border(drawn: tuple[np.ndarray, ...]) -> None:
    for mask in drawn[1]:
        veins = mask == 255
        assert 0.03 < veins.mean() < 0.25
        labelled, count = ndimage.label(veins, EIGHT)
        largest = np.bincount(labelled.ravel(), minlength=count + 1)[1:].max()
        assert largest > 0.95 * veins.sum()
        assert not (veins[0].any() or veins[-1].any() or veins[:, 0].any() or veins[:, -1].any())
        # Distances count from 1: a vein of 1 or 2 pixels gives 1, one of 4 gives 1.5, a blob more.
        assert 1.0 < ndimage.distance_transform_edt(veins)[veins].mean() < 1.6


def test_veins_are_lighter_than_the_blade_around_them(drawn: tuple[np.ndarray, ...]) -> None:
    for picture, mask in zip(*drawn[:2], strict=True):
        grey = picture.mean(axis=2)
        veins = mask == 255
        near = ndimage.binary_erosion(ndimage.binary_closing(np.pad(veins, 12), iterations=8), iterations=2)
        near = near[12:-12, 12:-12] & ~ndimage.binary_dilation(veins)
        step = grey[veins].mean() - grey[near].mean()
        assert 15 < step < 80


def test_denser_sources_give_more_areoles(drawn: tuple[np.ndarray, ...]) -> None:
    _, masks, labels = drawn
    areoles = np.array([ndimage.label(mask == 0)[1] for mask in masks])
    pitch = [Traits.of(c).areole for c in range(CLASSES)]
    mean = [areoles[labels == c].mean() for c in range(CLASSES)]
    assert mean[int(np.argmin(pitch))] > 1.4 * mean[int(np.argmax(pitch))]


def test_geometry_predicts_the_cultivar_and_colour_does_not(drawn: tuple[np.ndarray, ...]) -> None:
    pictures, masks, labels = drawn
    geometry = []
    for mask in masks:
        veins = mask == 255
        skin = ndimage.gaussian_filter(veins.astype(float), 1.0)
        angle = np.arctan2(ndimage.sobel(skin, 0), ndimage.sobel(skin, 1)) % np.pi
        edge = np.hypot(ndimage.sobel(skin, 0), ndimage.sobel(skin, 1))
        turns = np.histogram(angle, bins=6, range=(0, np.pi), weights=edge)[0] / edge.sum()
        geometry.append([veins.mean(), ndimage.label(~veins)[1], *turns[:-1]])
    assert held_out_accuracy(np.array(geometry), labels) > 3.0 / CLASSES
    assert held_out_accuracy(pictures.mean(axis=(1, 2)), labels) < 2.0 / CLASSES


def test_write_leaves_writes_images_and_masks_by_seed(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("a", "b", "c")]
    for root, seed in zip(roots, (5, 5, 6), strict=True):
        write_leaves(root, classes=2, images=3, size=48, seed=seed)
    expected = {
        f"{kind}/cultivar_0{c}/leaf_00{i}.png" for kind in ("images", "masks") for c in (0, 1) for i in (0, 1, 2)
    }
    files = [{p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.png")} for root in roots]
    assert set(files[0]) == expected
    assert files[0] == files[1]
    assert all(files[0][name] != files[2][name] for name in expected)
    assert len(set(files[0].values())) == len(expected)
    with Image.open(roots[0] / "images/cultivar_00/leaf_000.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (48, 48))
    with Image.open(roots[0] / "masks/cultivar_00/leaf_000.png") as mask:
        assert (mask.mode, mask.size) == ("L", (48, 48))
        assert set(np.unique(np.asarray(mask))) == {0, 255}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [({"classes": 1}, "classes"), ({"images": 0}, "images"), ({"size": 31}, "size"), ({"seed": -1}, "seed")],
)
def test_write_leaves_refuses_bad_arguments(tmp_path: Path, wrong: dict[str, int], word: str) -> None:
    asked = {"classes": 2, "images": 1, "size": 32, "seed": 0} | wrong
    with pytest.raises(UsageError, match=word) as caught:
        write_leaves(tmp_path / "leaves", **asked)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_write_leaves_accepts_only_an_empty_folder(tmp_path: Path) -> None:
    write_leaves(tmp_path, classes=2, images=1, size=32, seed=0)
    kept = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="not an empty folder"):
        write_leaves(tmp_path, classes=2, images=1, size=32, seed=0)
    with pytest.raises(DataError, match="not an empty folder"):
        write_leaves(kept[-1], classes=2, images=1, size=32, seed=0)
    assert sorted(tmp_path.rglob("*")) == kept


def test_a_failed_write_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Image.Image, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_leaves(tmp_path / "leaves", classes=2, images=1, size=32, seed=0)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("cultivar", "seed", "size"), [(-1, 0, 64), (0, -1, 64), (0, 0, 16)])
def test_draw_leaf_refuses_bad_arguments(cultivar: int, seed: int, size: int) -> None:
    with pytest.raises(UsageError):
        draw_leaf(cultivar, seed, size=size)
