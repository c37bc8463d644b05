"""Patches: their place, size and padding against NumPy; datasets that cut whole images."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from venation.data.batch import WindowBatch
from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.images import read_image
from venation.data.loader import make_loader
from venation.data.manifest import load_manifest
from venation.data.patches import draw_patch, pad_pair
from venation.data.transforms import FittedPair, eval_image, mean_colour

CONFIG = DataConfig(size=16, fit="patch", hflip=0.0)


def numbered(height: int, width: int, structure: tuple[int, int] | None = None) -> FittedPair:
    """Return an image whose channels tell row and column, with one pixel of structure."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    mask = np.zeros((1, height, width), np.uint8)
    if structure:
        mask[0][structure] = 1
    return FittedPair(torch.from_numpy(np.stack([rows, columns, rows])), torch.from_numpy(mask))


def corners(pair: FittedPair, config: DataConfig, draws: int) -> np.ndarray:
    """Return top and left of many patches."""
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_patch(pair, config, generator) for _ in range(draws)]
    for image_CHW, mask_1HW in drawn:
        assert image_CHW.shape[1:] == mask_1HW.shape[1:] == config.size_HW
        assert torch.equal(image_CHW[0, :, 0] - image_CHW[0, 0, 0], torch.arange(16, dtype=torch.uint8))
    return np.array([(int(image_CHW[0, 0, 0]), int(image_CHW[1, 0, 0])) for image_CHW, _ in drawn])


def test_a_share_of_the_patches_is_centred_on_structure() -> None:
    found = corners(numbered(60, 50, structure=(30, 20)), CONFIG.model_copy(update={"structure_share": 0.75}), 400)
    centred = (found == (30 - 8, 20 - 8)).all(axis=1)
    # A uniform patch lies there once in 45 x 35 places.
    assert abs(centred.mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 400)
    rest = found[~centred]
    assert rest.min(axis=0).max() <= 4 and (rest.max(axis=0) >= (40, 30)).all() and (rest.max(axis=0) <= (44, 34)).all()


def test_structure_pixels_are_drawn_uniformly() -> None:
    pair = numbered(60, 60)
    pair.mask_1HW[0, 20, 20] = pair.mask_1HW[0, 40, 20:23] = 1
    found = corners(pair, CONFIG.model_copy(update={"structure_share": 1.0}), 400)
    tops, counts = np.unique(found[:, 0], return_counts=True)
    assert tops.tolist() == [12, 32] and abs(counts[0] / 400 - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 400)


@pytest.mark.parametrize(("structure", "corner"), [((0, 0), (0, 0)), ((59, 49), (44, 34)), ((1, 30), (0, 22))])
def test_a_patch_at_the_edge_stays_inside(structure: tuple[int, int], corner: tuple[int, int]) -> None:
    config = CONFIG.model_copy(update={"structure_share": 1.0})
    assert (corners(numbered(60, 50, structure), config, 3) == corner).all()


def test_without_structure_every_place_is_as_likely() -> None:
    found = corners(numbered(18, 17), CONFIG.model_copy(update={"structure_share": 1.0}), 600)
    _, counts = np.unique(found, axis=0, return_counts=True)
    assert len(counts) == 3 * 2 and counts.min() > 60


def test_a_small_image_is_padded_with_the_mean_colour_right_and_bottom() -> None:
    pair = pad_pair(numbered(5, 20, (2, 2)), (16, 16), CONFIG)
    assert pair.image_CHW.shape == (3, 16, 20) and pair.mask_1HW.sum() == 1
    assert pair.image_CHW[:, 5:].flatten(1).unique(dim=1)[:, 0].tolist() == list(mean_colour(CONFIG))
    assert torch.equal(pair.image_CHW[:, :5], numbered(5, 20).image_CHW)


def test_a_random_resized_crop_never_enlarges() -> None:
    config = CONFIG.model_copy(update={"min_area": 0.5})
    image_CHW, _ = draw_patch(numbered(60, 60), config, torch.Generator().manual_seed(0))
    assert image_CHW.shape == (3, 23, 23)  # 16 / sqrt(0.5)


@pytest.fixture
def manifest(leaves):
    return load_manifest(leaves)


def test_training_draws_several_patches_of_every_image(manifest) -> None:
    data = LeafDataset(manifest.samples, manifest.classes, CONFIG.model_copy(update={"patches": 3}), train=True)
    batches = list(make_loader(data, batch_size=8, train=True, seed=0))
    assert len(data) == 3 * 18 and sum(len(batch.label_B) for batch in batches) == 54
    assert torch.cat([batch.label_B for batch in batches]).bincount().tolist() == [18, 18, 18]
    assert batches[0].image_BCHW.shape == (8, 3, 16, 16) and batches[0].mask_B1HW.shape == (8, 1, 16, 16)


def test_an_epoch_of_patches_is_resumed_bit_by_bit_cached_or_not(manifest) -> None:
    config = CONFIG.model_copy(update={"turn": 0.5, "vflip": 0.5, "blank": 0.3, "min_area": 0.7})
    epochs = []
    for number, cache in ((2, 0), (2, None), (1, None)):
        data = LeafDataset(manifest.samples, manifest.classes, config, train=True, cache_bytes=cache)
        loader = make_loader(data, batch_size=8, train=True, seed=5)
        if cache is None:
            list(loader)
        loader.set_epoch(number)
        torch.manual_seed(number)
        epochs.append(torch.cat([batch.image_BCHW for batch in loader]))
    assert torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0], epochs[2])


def test_balanced_classes_draw_other_patches_of_a_repeated_image(manifest) -> None:
    uneven = [sample for sample in manifest.samples if sample.label != "oak"] + [manifest.samples[-1]]
    config = CONFIG.model_copy(update={"patches": 1, "scale": 4.0})
    data = LeafDataset(uneven, manifest.classes, config, train=True)
    batches = list(make_loader(data, batch_size=8, train=True, seed=0, balanced=True))
    images, labels = torch.cat([b.image_BCHW for b in batches]), torch.cat([b.label_B for b in batches])
    oaks = images[labels == 2]
    assert len(oaks) == 4 and len(oaks.unique(dim=0)) == 4


def test_evaluation_yields_the_windows_of_whole_images(manifest) -> None:
    config = CONFIG.model_copy(update={"scale": 3.0})
    data = LeafDataset(manifest.samples[:2], manifest.classes, config, train=False)
    height, width, _ = read_image(manifest.samples[0].image).shape
    batches = list(make_loader(data, batch_size=4, train=False, seed=0))
    assert all(isinstance(batch, WindowBatch) and len(batch.label_B) <= 4 for batch in batches)
    places = [batch.windows for batch in batches]
    assert {place.size for place in places} == {(height, width)} and places[0].mask_1HW.shape == (1, height, width)
    for image in (0, 1):
        mine = [batch for batch in batches if batch.windows.image == image]
        windows = torch.cat([batch.image_BCHW for batch in mine])
        grid = mine[0].windows.grid
        whole = eval_image(read_image(manifest.samples[image].image), config)
        assert whole.shape[1:] == (3 * height, 3 * width) == grid.size and len(windows) == len(grid) > 4
        assert all(torch.equal(window, grid.crop(whole, number)) for number, window in enumerate(windows))


def test_the_scale_resizes_the_image_and_keeps_the_true_mask_in_evaluation(manifest) -> None:
    config = CONFIG.model_copy(update={"scale": 0.5})
    data = LeafDataset(manifest.samples[:1], manifest.classes, config, train=False)
    (batch,) = make_loader(data, batch_size=99, train=False, seed=0)
    height, width, _ = read_image(manifest.samples[0].image).shape
    assert batch.windows.grid.size == (round(height / 2), round(width / 2))
    assert batch.windows.mask_1HW.shape == (1, height, width)
    train = LeafDataset(manifest.samples[:1], manifest.classes, config, train=True)
    assert train[0].image_CHW.shape == (3, 16, 16)


def test_a_blanked_whole_image_keeps_its_structure(manifest) -> None:
    config = CONFIG.model_copy(update={"scale": 2.0})
    data = LeafDataset(manifest.samples[:1], manifest.classes, config, train=False, blank=True)
    (batch,) = make_loader(data, batch_size=999, train=False, seed=0)
    assert batch.image_BCHW.abs().amax(dim=1).lt(0.02).any() and batch.image_BCHW.abs().max() > 0.5


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"fit": "patch", "zoom": 1.5}, "crops out of a squashed picture: set data.fit=squash or data.zoom=1"),
        ({"scale": 0.5}, "scale=0.5 resizes before patches are cut: set data.fit=patch or data.scale=1"),
        ({"fit": "patch", "scale": 0.0}, "greater than or equal to 0.05"),
        ({"fit": "patch", "scale": 5}, "less than or equal to 4"),
        ({"fit": "patch", "patches": 0}, "greater than or equal to 1"),
        ({"fit": "patch", "structure_share": 1.5}, "less than or equal to 1"),
        ({"turn": 0.5, "size": "16x32"}, "turns squares only: set data.turn=0 or a square data.size"),
    ],
    ids=str,
)
def test_fields_that_do_not_go_together_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        DataConfig.model_validate(given)
