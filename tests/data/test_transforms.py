"""Transforms: fits against Pillow and NumPy; augmentation of an image that shows its own mask."""

import numpy as np
import pytest
import torch
from pictures import NO_AUGMENTATION, NO_NORMALISATION, normalised, picture
from PIL import Image
from scipy import ndimage
from torchvision.transforms import functional as tvf

from venation.data.data_config import DataConfig
from venation.data.joint_transforms import JointErase, JointRotate
from venation.data.transforms import (
    FittedPair,
    as_tv_tensors,
    blank_background,
    eval_image,
    eval_transform,
    fit_pair,
    fitted_HW,
    train_transform,
)
from venation.spaces.presets import recipe
from venation.trials.geometry import cropped_corner


def marked(height=64, width=64):
    """Return a white blob on black and its mask: every joint transform must keep them equal."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 8 : height // 3, width // 4 : width - 4] = 1
    return np.repeat(mask[..., None] * 255, 3, axis=2), mask


def test_squash_is_pillows_resize_and_imagenets_normalisation():
    config = DataConfig(size=16)
    expected = normalised(np.asarray(Image.fromarray(picture()).resize((16, 16), Image.Resampling.BILINEAR)), config)
    np.testing.assert_allclose(eval_image(picture(), config), expected, atol=1e-5)


def test_pad_keeps_the_aspect_and_fills_with_the_mean_colour():
    config = DataConfig(size=20, fit="pad")
    image = eval_image(picture(), config).numpy()
    inner = np.asarray(Image.fromarray(picture()).resize((20, 15), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(image[:, 2:17], normalised(inner, config), atol=1e-5)
    assert np.abs(image[:, :2]).max() < 0.02 and np.abs(image[:, 17:]).max() < 0.02


def test_crop_pads_right_and_bottom_with_zeros_after_normalisation_and_crops_the_centre():
    config = DataConfig(size=36, fit="crop")
    image = eval_image(picture(), config).numpy()
    inner = np.asarray(picture())[:, 2:38]
    np.testing.assert_allclose(image[:, :30], normalised(inner, config), atol=1e-5)
    assert (image[:, 30:] == 0).all()


@pytest.mark.parametrize("preset", ["mganet", "xmnet", "mnsa"])
def test_the_papers_border_is_the_mean_colour(preset):
    config = recipe(preset, "classifier").config.data
    view = config.model_copy(update={"fit": "crop"})
    image = eval_image(np.full((300, 300, 3), (124, 116, 104), np.uint8), view)
    assert image.shape == (3, 448, 448) and image[:, 300:].abs().max() == image[:, :, 300:].abs().max() == 0
    pair = fit_pair(np.zeros((500, 300, 3), np.uint8), None, view, train=True)
    trained, _ = train_transform(view.model_copy(update={"erase": 0.0}))(*as_tv_tensors(pair))
    assert (trained[:, :, 300:] == 0).all() and (trained[:, :, :300] < -1.7).all()


@pytest.mark.parametrize(
    ("side", "start"), [(448, 0), (449, 0), (450, 1), (451, 1), (452, 2), (453, 2), (455, 3), (459, 5)]
)
def test_the_centre_crop_starts_at_half_the_excess_rounded_down(side, start):
    config = DataConfig(size=448, fit="crop", **NO_NORMALISATION)
    row = np.broadcast_to((np.arange(side) % 256).astype(np.uint8)[None, :, None], (448, side, 3))
    assert round(float(eval_image(row, config)[0, 0, 0]) * 255) == start
    assert cropped_corner((side, 448), (448, 448), to_even=False) == (start, 0)


def test_a_record_of_an_earlier_crop_keeps_black_and_torchvisions_centre():
    record = DataConfig(size=40, fit="crop").model_dump(exclude={"border", "white", "scale", "patches"})
    config = DataConfig.model_validate(record)
    assert config.border == "black" and DataConfig.model_validate(record | {"fit": "squash"}).border == "mean"
    assert DataConfig.model_validate_json(config.model_dump_json()) == config
    large = picture(47, 33)
    cropped = tvf.center_crop(Image.fromarray(large), [33, 40])
    padded = np.pad(np.asarray(cropped), ((0, 7), (0, 0), (0, 0)))
    np.testing.assert_allclose(eval_image(large, config), normalised(padded, config), atol=1e-6)
    assert cropped_corner((47, 33), (40, 40), to_even=True) == (4, 0)


def test_whole_is_the_image_itself_and_trains_like_crop():
    config = DataConfig(size=36, fit="whole")
    image = eval_image(picture(50, 40), config).numpy()
    np.testing.assert_allclose(image, normalised(np.asarray(picture(50, 40)), config), atol=1e-5)
    small = eval_image(picture(50, 20), config)
    assert small.shape == (3, 32, 50) and (small[:, 20:] == 0).all()
    pair = fit_pair(picture(50, 20), None, config, train=True)
    crop = config.model_copy(update={"fit": "crop"})
    torch.manual_seed(3)
    as_whole, _ = train_transform(config)(*as_tv_tensors(pair))
    torch.manual_seed(3)
    as_crop, _ = train_transform(crop)(*as_tv_tensors(fit_pair(picture(50, 20), None, crop, train=True)))
    assert torch.equal(as_whole, as_crop) and as_whole.shape == (3, 36, 36)


def test_the_mask_follows_each_fit():
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 20:] = 1
    squash = fit_pair(picture(), mask, DataConfig(size=20)).mask_1HW[0]
    expected = np.asarray(Image.fromarray(mask).resize((20, 20), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(squash, expected)
    pad = fit_pair(picture(), mask, DataConfig(size=20, fit="pad")).mask_1HW[0]
    assert pad.shape == (20, 20) and pad[7:12, 10:].all() and pad.sum() == 50
    native = fit_pair(picture(), mask, DataConfig(size=20, fit="crop")).mask_1HW[0]
    np.testing.assert_array_equal(native, mask)


@pytest.mark.parametrize("size", [30, "30x44"])
@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
def test_training_without_randomness_is_evaluation(fit, size):
    config = DataConfig(size=size, fit=fit, **NO_AUGMENTATION)
    of_that_size = picture(*config.size_HW[::-1])
    mask = (np.asarray(of_that_size)[..., 0] > 99).astype(np.uint8)
    train = train_transform(config)(*as_tv_tensors(fit_pair(of_that_size, mask, config, train=True)))
    evaluation = eval_transform(config)(*as_tv_tensors(fit_pair(of_that_size, mask, config)))
    assert torch.equal(train[0], evaluation[0]) and torch.equal(train[1], evaluation[1])


@pytest.mark.parametrize(
    "change",
    [
        {"hflip": 1.0},
        {"vflip": 1.0},
        {"rotate": 45.0},
        {"min_area": 0.3},
        {"erase": 1.0},
        {"fit": "crop", "size": 40},
        {"fit": "whole", "size": 40, "rotate": 20.0, "vflip": 1.0},
        {"fit": "crop", "size": "80x48", "min_area": 0.5},
        {"fit": "crop", "size": 100},
        {"hflip": 1.0, "vflip": 1.0, "rotate": 20.0, "min_area": 0.5, "erase": 1.0, "fit": "pad"},
        {"zoom": 1.4},
        {"zoom": 1.4, "min_area": 0.3},
        {"size": "48x80", "rotate": 45.0, "vflip": 1.0},
        {"size": "80x48", "min_area": 0.3, "fit": "pad"},
        {"size": "80x48", "fit": "crop", "erase": 1.0},
        {"size": "48x80", "zoom": 1.5, "rotate": 20.0},
    ],
    ids=str,
)
def test_image_and_mask_are_transformed_alike(change):
    config = DataConfig(**({"size": 64} | NO_AUGMENTATION | NO_NORMALISATION | change))
    image, mask = marked()
    transform = train_transform(config)
    pair = fit_pair(image, mask, config, train=True)
    changed = False
    for seed in range(8):
        torch.manual_seed(seed)
        image_CHW, mask_1HW = transform(*as_tv_tensors(pair))
        assert image_CHW.shape == (3, *config.size_HW) and mask_1HW.shape == (1, *config.size_HW)
        assert mask_1HW.dtype == torch.float32 and set(mask_1HW.unique().tolist()) <= {0.0, 1.0}
        # Bilinear and nearest differ by a few pixels along edges; elsewhere they agree.
        assert float((image_CHW.mean(0) - mask_1HW[0]).abs().mean()) < 0.03
        changed |= not torch.equal(mask_1HW[0], torch.from_numpy(mask).float())
    assert changed


def test_flips_are_numpys():
    config = DataConfig(size=16, hflip=1.0, vflip=1.0, **NO_NORMALISATION)
    image, mask = marked(16, 16)
    _, mask_1HW = train_transform(config)(*as_tv_tensors(fit_pair(image, mask, config, train=True)))
    np.testing.assert_array_equal(mask_1HW[0], mask[::-1, ::-1])


@pytest.mark.parametrize("seed", range(1, 6))
def test_rotation_is_pillows_and_new_corners_are_zero(seed):
    image, mask = marked()
    torch.manual_seed(seed)
    angle = float(torch.empty(()).uniform_(-60, 60))
    torch.manual_seed(seed)
    image_CHW = torch.from_numpy(np.array(image)).permute(2, 0, 1) + 1.0
    turned_CHW, turned_1HW = JointRotate(60)(image_CHW, torch.from_numpy(mask)[None].float())
    expected = np.asarray(Image.fromarray(mask).rotate(angle, Image.Resampling.NEAREST))
    assert np.mean(turned_1HW[0].numpy() != expected) < 0.005
    outside = np.asarray(Image.new("L", (64, 64), 1).rotate(angle)) == 0
    assert outside.any() and np.median(turned_CHW[0].numpy()[outside]) == 0
    assert turned_CHW[0].numpy()[~outside].min() >= 0


@pytest.mark.parametrize("shape", [(48, 96), (96, 48), (64, 64)])
@pytest.mark.parametrize("seed", range(1, 4))
def test_rotation_is_scipys_and_shears_no_picture(seed, shape):
    _, mask = marked(*shape)
    smooth = ndimage.gaussian_filter(mask.astype(np.float32), 2)
    torch.manual_seed(seed)
    angle = float(torch.empty(()).uniform_(-90, 90))
    torch.manual_seed(seed)
    turned_CHW, turned_1HW = JointRotate(90)(torch.from_numpy(smooth)[None], torch.from_numpy(mask)[None].float())
    assert abs(angle) > 10 and turned_CHW.shape == turned_1HW.shape == (1, *shape)
    expected = ndimage.rotate(smooth, angle, reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(turned_CHW[0], expected, atol=1e-4)
    expected_mask = ndimage.rotate(mask, angle, reshape=False, order=0)
    assert np.mean(turned_1HW[0].numpy() != expected_mask) < 0.005


def test_colour_changes_the_image_only():
    config = DataConfig(size=32, colour=0.5, **NO_AUGMENTATION)
    mask = np.eye(32, dtype=np.uint8)
    torch.manual_seed(0)
    image_CHW, mask_1HW = train_transform(config)(*as_tv_tensors(fit_pair(picture(), mask, config, train=True)))
    assert not torch.allclose(image_CHW, eval_image(picture(), config))
    np.testing.assert_array_equal(mask_1HW[0], mask)


def test_erase_zeroes_the_same_rectangle_in_both_and_draws_the_recipes_sizes():
    torch.manual_seed(0)
    areas, ratios, erased = [], [], 0
    for _ in range(300):
        image, mask = JointErase(0.5)(torch.ones(3, 64, 64), torch.ones(1, 64, 64))
        assert (image == mask).all()
        hole = mask[0] == 0
        if hole.any():
            erased += 1
            high, wide = int(hole.any(1).sum()), int(hole.any(0).sum())
            assert hole.sum() == high * wide
            areas.append(high * wide / 64**2)
            ratios.append(high / wide)
    assert 120 < erased < 180
    assert 0.015 < min(areas) and max(areas) < 0.345 and np.mean(areas) == pytest.approx(0.165, abs=0.02)
    assert min(ratios) > 0.25 and max(ratios) < 4 and abs(np.mean(np.log(ratios))) < 0.15


def test_the_fitted_size_is_larger_for_random_resized_crops():
    config = DataConfig(size=100, min_area=0.64)
    assert fitted_HW(config, train=True) == (125, 125) and fitted_HW(config, train=False) == (100, 100)
    assert fitted_HW(DataConfig(size="100x40", min_area=0.01), train=True) == (150, 60)
    assert fitted_HW(DataConfig(size=100, zoom=2, min_area=0.01), train=True) == (200, 200)
    assert fit_pair(picture(), None, config, train=True).image_CHW.shape == (3, 125, 125)


def test_blanked_background_is_about_zero_after_normalisation():
    config = DataConfig(size=32)
    mask = np.zeros((30, 40), np.uint8)
    mask[:15] = 1
    pair = fit_pair(picture(), mask, config)
    image_CHW, _ = eval_transform(config)(*as_tv_tensors(blank_background(pair, config)))
    assert image_CHW[:, 16:].abs().max() < 0.02
    np.testing.assert_allclose(image_CHW[:, :16], eval_image(picture(), config)[:, :16])
    assert isinstance(pair, FittedPair)


def test_an_enclosed_area_is_not_background():
    """Areoles in a net of veins keep their colour, as in a flood fill from the border."""
    config = DataConfig(size=32)
    image_CHW = torch.full((3, 32, 32), 200, dtype=torch.uint8)
    mask_1HW = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask_1HW[0, 8:24, 8:24] = 1
    mask_1HW[0, 10:22, 10:22] = 0
    mask_1HW[0, 28:, 4] = 1
    blanked = blank_background(FittedPair(image_CHW, mask_1HW), config)
    kept = (blanked.image_CHW == 200).all(0)
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[8:24, 8:24] = True
    expected[28:, 4] = True
    assert torch.equal(kept, expected)
    assert torch.equal(blanked.mask_1HW, mask_1HW)


@pytest.mark.parametrize("fit", ["squash", "pad", "crop", "patch"])
def test_many_channels_are_fitted_like_rgb(fit):
    """Three numbers of the mean repeat, so channels 4 to 6 are normalised and padded as 1 to 3."""
    config = DataConfig(size=24, fit=fit, scale=0.7 if fit == "patch" else 1.0, interpolation="bicubic")
    halves = [picture(seed=seed) for seed in (0, 1)]
    found = eval_image(np.dstack(halves), config.model_copy(update={"channels": 6}))
    assert torch.equal(found, torch.cat([eval_image(half, config) for half in halves]))


def test_many_channels_are_blanked_with_the_mean():
    config = DataConfig(size=32, channels=5, mean=(0.1, 0.2, 0.3, 0.4, 0.5), std=(0.5,) * 5)
    mask = np.zeros((30, 40), np.uint8)
    pair = blank_background(fit_pair(np.dstack([picture()] * 2)[..., :5], mask, config), config)
    assert pair.image_CHW[:, 0, 0].tolist() == [26, 51, 76, 102, 128]
    assert eval_transform(config)(*as_tv_tensors(pair))[0].abs().max() < 0.005
