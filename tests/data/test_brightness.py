"""Data sets whose values do not fill their type are found, with the setting to use."""

import numpy as np
import pytest
from PIL import Image

from venation.data.check import check_data


def write(tmp_path, brightest, dtype):
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            pixels = random.random((10, 12)) * brightest
            pixels[0, 0] = brightest
            Image.fromarray(pixels.astype(dtype)).save(tmp_path / "images" / label / f"{number}.tif")
    return [(row.level, row.code, row.message) for row in check_data(tmp_path)]


def test_twelve_bits_in_sixteen_are_named_with_the_setting(tmp_path):
    ((level, code, message),) = write(tmp_path, 4090, np.uint16)
    assert (level, code) == ("warning", "dark")
    assert message == "the brightest value of 8 images of uint16 is 4090 of 65535, almost black: set data.white=4095"


def test_floats_have_no_white_of_their_own(tmp_path):
    ((level, code, message),) = write(tmp_path, 0.5, np.float32)
    assert (level, code) == ("warning", "no-white")
    assert "8 images of float32" in message and "set data.white=0.5" in message


@pytest.mark.parametrize(
    ("brightest", "dtype", "found"), [(15, np.uint8, ["dark"]), (90, np.uint8, []), (2**14, np.uint16, [])]
)
def test_only_a_quarter_of_the_range_is_asked_for(tmp_path, brightest, dtype, found):
    assert [code for _, code, _ in write(tmp_path, brightest, dtype)] == found


def test_values_that_are_not_finite_are_an_error(tmp_path):
    rows = write(tmp_path, np.nan, np.float32)
    assert {(level, code) for level, code, _ in rows} == {("error", "not-finite")} and len(rows) == 8
