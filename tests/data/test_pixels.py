"""Images of any number of channels: resized as Pillow resizes greys, and shown as RGB."""

import numpy as np
import pytest
from PIL import Image

from venation.data.pixels import resize, shown

FIVE = np.random.default_rng(0).integers(0, 256, (30, 40, 5), dtype=np.uint8)


@pytest.mark.parametrize("size", [(17, 9), (61, 70)])
@pytest.mark.parametrize("resampling", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_every_number_of_channels_is_resized_like_rgb(size, resampling):
    found = resize(FIVE, size, resampling)
    for first in (0, 2):
        wanted = Image.fromarray(FIVE[..., first : first + 3].copy()).resize(size, resampling)
        np.testing.assert_array_equal(found[..., first : first + 3], wanted)
        np.testing.assert_array_equal(resize(FIVE[..., first : first + 3].copy(), size, resampling), wanted)


def test_the_first_three_bands_are_shown_between_their_percentiles():
    dim = FIVE // 8 + np.array([0, 20, 40, 60, 80], np.uint8)
    found = np.asarray(shown(dim))
    low, high = np.percentile(dim[..., :3], (2, 98), axis=(0, 1))
    np.testing.assert_array_equal(found, np.rint(np.clip((dim[..., :3] - low) / (high - low), 0, 1) * 255))
    np.testing.assert_array_equal(np.asarray(shown(dim[..., :3])), dim[..., :3])


def test_the_first_of_two_bands_is_shown_as_grey():
    found = np.asarray(shown(FIVE[..., :2]))
    assert found.shape == (30, 40, 3) and np.ptp(found, axis=2).max() == 0 and np.ptp(found) == 255
    np.testing.assert_array_equal(np.asarray(shown(np.full((4, 4, 2), 7, np.uint8))), np.full((4, 4, 3), 7))
