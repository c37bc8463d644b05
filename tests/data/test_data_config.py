"""Options of DataConfig (size, zoom, blur, sharpness) against Pillow, NumPy and torchvision."""

import numpy as np
import pytest
import torch
from pictures import NO_AUGMENTATION, NO_NORMALISATION, normalised, picture
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms import functional as tvf

from venation.data.data_config import DataConfig
from venation.data.transforms import (
    as_tv_tensors,
    blank_background,
    eval_image,
    fit_pair,
    fitted_HW,
    train_transform,
)
from venation.spaces.fields import set_fields
from venation.trials.trial_config import TrialConfig


@pytest.mark.parametrize(
    ("given", "size", "size_HW"),
    [
        (96, 96, (96, 96)),
        ("96", 96, (96, 96)),
        ("96x96", 96, (96, 96)),
        ("96x128", "96x128", (96, 128)),
    ],
)
def test_sizes_have_one_form_each_and_survive_json(given, size, size_HW):
    config = DataConfig(size=given)
    assert (config.size, config.size_HW) == (size, size_HW)
    assert DataConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        *(
            ({"size": size}, "give pixels or HEIGHTxWIDTH, each from 16 to 4096")
            for size in (12, "12", "96x", "x96", "96x9999", "8x96", "96x96x3", "abc", "-96", 96.5, True, None)
        ),
        ({"zoom": 1.5, "fit": "pad"}, "zoom=1.5 crops out of a squashed picture: set data.fit=squash or data.zoom=1"),
        ({"zoom": 1.5, "fit": "crop"}, "zoom=1.5 crops out of a squashed picture: set data.fit=squash or data.zoom=1"),
        ({"zoom": 0.9}, "greater than or equal to 1"),
        ({"blur": 1.1}, "less than or equal to 1"),
        *(
            ({"mean": mean}, "give auto, or three numbers from 0 to 1 for red, green and blue")
            for mean in ((0.5, 0.5), (0.5,) * 4, "0.5", "0.5,0.5", (0.5, 0.5, 1.1), "a,b,c", "autos", None, 0.5)
        ),
        *(
            ({"std": std}, "give auto, or three numbers from 0.001 to 10 for red, green and blue")
            for std in ((0, 1, 1), "0.5,0.5,0", (-1, 1, 1), (0.5, 0.5), (float("nan"),) * 3, "inf,1,1")
        ),
        ({"interpolation": "nearest"}, "'bilinear', 'bicubic' or 'auto'"),
    ],
    ids=str,
)
def test_a_bad_config_is_refused_in_one_line(bad, expected):
    with pytest.raises(ValidationError) as caught:
        DataConfig(**bad)
    (error,) = caught.value.errors()
    assert expected in error["msg"] and "\n" not in error["msg"]


@pytest.mark.parametrize("given", ["0.1,0.2,0.3", "[0.1, 0.2, 0.3]", (0.1, 0.2, 0.3), [0.1, "0.2", 0.3]])
def test_channels_are_three_numbers_in_any_form_or_auto(given):
    config = DataConfig(mean=given, std=given)
    assert config.normalisation == ((0.1, 0.2, 0.3), (0.1, 0.2, 0.3))
    assert DataConfig.model_validate_json(config.model_dump_json()) == config
    whole = set_fields(TrialConfig(), {"data.mean": "auto", "data.interpolation": "auto"})
    assert whole.data.mean == "auto" and TrialConfig.model_validate_json(whole.model_dump_json()) == whole
    assert set_fields(whole, {"data.mean": given}).data.mean == (0.1, 0.2, 0.3)


def test_bicubic_is_pillows_and_masks_stay_nearest():
    config = DataConfig(size=32, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3)
    resized = np.asarray(Image.fromarray(picture()).resize((32, 32), Image.Resampling.BICUBIC), np.float32)
    np.testing.assert_allclose(eval_image(picture(), config), resized.transpose(2, 0, 1) / 127.5 - 1, atol=1e-5)
    mask = np.eye(40, dtype=np.uint8)
    drawn = Image.fromarray(mask).resize((32, 32), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(fit_pair(picture(40, 40), mask, config).mask_1HW[0], np.asarray(drawn))


def test_padding_and_blanked_backgrounds_have_the_mean_colour():
    config = DataConfig(size="16x64", fit="pad", mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    pair = fit_pair(picture(16, 16), np.ones((16, 16), np.uint8), config)
    assert pair.image_CHW[:, 0, 0].tolist() == [51, 102, 153]
    blanked = blank_background(pair._replace(mask_1HW=torch.zeros_like(pair.mask_1HW)), config)
    assert (blanked.image_CHW.flatten(1) == torch.tensor([[51], [102], [153]])).all()


def test_squash_to_a_size_that_is_not_square():
    config = DataConfig(size="16x24")
    expected = normalised(np.asarray(Image.fromarray(picture()).resize((24, 16), Image.Resampling.BILINEAR)), config)
    np.testing.assert_allclose(eval_image(picture(), config), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "inner", "place"), [("16x32", (21, 16), np.s_[:, 6:27]), ("40x20", (20, 15), np.s_[12:27])]
)
def test_pad_to_a_size_that_is_not_square(size, inner, place):
    config = DataConfig(size=size, fit="pad")
    image = eval_image(picture(), config).numpy()
    assert image.shape == (3, *config.size_HW)
    resized = normalised(np.asarray(Image.fromarray(picture()).resize(inner, Image.Resampling.BILINEAR)), config)
    np.testing.assert_allclose(np.stack([channel[place] for channel in image]), resized, atol=1e-5)
    border = np.ones(config.size_HW, bool)
    border[place] = False
    assert np.abs(image[:, border]).max() < 0.02


def test_crop_of_a_size_that_is_not_square():
    config = DataConfig(size="36x20", fit="crop", **NO_NORMALISATION)
    image = eval_image(picture(), config).numpy() * 255
    np.testing.assert_allclose(image[:, :30], np.asarray(picture())[:, 10:30].transpose(2, 0, 1), atol=1e-3)
    assert image.shape == (3, 36, 20) and (image[:, 30:] == 0).all()


def test_zoom_is_pims_resize_and_centre_crop():
    """PIM section 9: resize to 510 x 510 in any aspect, then crop the centre 384 x 384."""
    config = DataConfig(size=384, zoom=510 / 384)
    assert fitted_HW(config, train=False) == fitted_HW(config, train=True) == (510, 510)
    large = Image.fromarray(picture(300, 200)).resize((510, 510), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(
        eval_image(picture(300, 200), config), normalised(np.asarray(tvf.center_crop(large, 384)), config), atol=1e-5
    )


def test_zoom_keeps_the_aspect_of_the_size_and_crops_at_random_in_training():
    config = DataConfig(size="20x30", zoom=1.5, **NO_NORMALISATION, **NO_AUGMENTATION)
    assert fitted_HW(config, train=False) == (30, 45)
    pair = fit_pair(picture(), None, config, train=True)
    whole = pair.image_CHW.float() / 255
    windows = whole.unfold(1, 20, 1).unfold(2, 30, 1)
    places = set()
    for seed in range(30):
        torch.manual_seed(seed)
        image_CHW, mask_1HW = train_transform(config)(*as_tv_tensors(pair))
        assert image_CHW.shape == (3, 20, 30) and mask_1HW.shape == (1, 20, 30)
        same = (windows - image_CHW[:, None, None]).abs().amax((0, 3, 4)) < 1e-5
        assert same.sum() == 1
        places.add(tuple(same.nonzero()[0].tolist()))
    assert len(places) > 20 and np.ptp(list(places), axis=0).min() >= 8


def test_a_random_resized_crop_is_of_the_whole_zoomed_picture():
    """With ``min_area`` near 1 the crop is the whole fitted image, not its centre."""
    config = DataConfig(size=32, zoom=2, min_area=0.999, **NO_NORMALISATION, **NO_AUGMENTATION)
    ramp = np.repeat(np.linspace(0, 255, 64)[None, :, None], 64, 0).repeat(3, 2).astype(np.uint8)
    image_CHW, _ = train_transform(config)(*as_tv_tensors(fit_pair(ramp, None, config, train=True)))
    assert image_CHW.min() < 0.03 and image_CHW.max() > 0.97
    assert 0.24 < eval_image(ramp, config).min() and eval_image(ramp, config).max() < 0.76


def test_a_random_resized_crop_keeps_to_the_sizes_aspect():
    """A grid in an image of the same aspect is stretched by 3:4 to 4:3 at most."""
    config = DataConfig(size="32x96", min_area=0.5, **NO_NORMALISATION, **NO_AUGMENTATION)
    wide = np.zeros((64, 192), np.uint8)
    wide[:, ::12] = wide[::12] = 1
    pair = fit_pair(np.repeat(wide[..., None] * 255, 3, 2), wide, config)
    stretches = []
    for seed in range(40):
        torch.manual_seed(seed)
        image_CHW, _ = train_transform(config)(*as_tv_tensors(pair))
        assert image_CHW.shape == (3, 32, 96)
        across, down = (np.abs(np.fft.rfft(image_CHW[0].mean(axis).numpy())) for axis in (0, 1))
        stretches.append((96 / (3 + across[3:].argmax())) / (32 / (1 + down[1:].argmax())))
    assert 0.6 < min(stretches) and max(stretches) < 1.7


def test_blur_is_torchvisions_with_pims_kernel_and_sigmas():
    """PIM section 9: kernel 5 x 5, sigma uniform from 0.1 to 5, found by comparison."""
    config = DataConfig(size=32, blur=1.0, **NO_AUGMENTATION, **NO_NORMALISATION)
    mask = np.eye(32, dtype=np.uint8)
    pair = fit_pair(picture(), mask, config, train=True)
    sigmas = np.linspace(0.1, 6, 296)
    candidates = torch.stack([tvf.gaussian_blur(pair.image_CHW, [5, 5], [s, s]) for s in sigmas.tolist()]).float()
    found = []
    for seed in range(60):
        torch.manual_seed(seed)
        image_CHW, mask_1HW = train_transform(config)(*as_tv_tensors(pair))
        apart = (candidates - image_CHW * 255).square().mean((1, 2, 3))
        assert apart.min() < 3
        np.testing.assert_array_equal(mask_1HW[0], mask)
        found.append(sigmas[apart.argmin()])
    assert 0.1 <= min(found) < 0.5 and 4.5 < max(found) < 5.3
    assert np.mean(found) == pytest.approx(2.55, abs=0.5)


def test_sharpness_is_torchvisions_with_pims_factor():
    config = DataConfig(size=32, sharpen=1.0, **NO_AUGMENTATION, **NO_NORMALISATION)
    mask = np.eye(32, dtype=np.uint8)
    pair = fit_pair(picture(), mask, config, train=True)
    image_CHW, mask_1HW = train_transform(config)(*as_tv_tensors(pair))
    np.testing.assert_allclose(image_CHW * 255, tvf.adjust_sharpness(pair.image_CHW, 1.5), atol=1e-3)
    assert float((image_CHW * 255 - pair.image_CHW).abs().max()) > 5
    np.testing.assert_array_equal(mask_1HW[0], mask)


def test_blur_and_sharpening_have_their_probability_and_are_not_in_evaluation():
    config = DataConfig(size=32, blur=0.1, sharpen=0.1, **NO_AUGMENTATION)
    pair = fit_pair(picture(), None, config, train=True)
    transform, plain = train_transform(config), eval_image(picture(), config)
    assert torch.equal(plain, eval_image(picture(), DataConfig(size=32)))
    torch.manual_seed(0)
    changed = sum(not torch.equal(transform(*as_tv_tensors(pair))[0], plain) for _ in range(400))
    assert changed / 400 == pytest.approx(1 - 0.9**2, abs=0.06)


def test_mean_and_deviation_are_one_a_channel_or_three_that_repeat():
    mean = (0.1, 0.2, 0.3)
    assert DataConfig(mean=mean, channels=5).normalisation[0] == (*mean, 0.1, 0.2)
    assert DataConfig(mean=mean, channels=2).normalisation[0] == (0.1, 0.2)
    assert DataConfig(mean=mean).normalisation[0] == mean
    own = DataConfig(channels=4, std="0.1,0.2,0.3,0.4")
    assert own.normalisation[1] == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(ValueError, match="three numbers from 0.001 to 10 for red, green and blue, or 4, one for each"):
        DataConfig(channels=4, std=(0.1, 0.2))
    with pytest.raises(ValueError, match="give auto, or three numbers from 0 to 1 for red, green and blue"):
        DataConfig(mean=(0.1, 0.2, 0.3, 0.4))
    for channels in (1, 65):
        with pytest.raises(ValueError, match="channels"):
            DataConfig(channels=channels)
