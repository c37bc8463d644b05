"""Overlays change only the pixels of the mask or the heat."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venation.trials.overlay import draw_heat, draw_mask, draw_prediction
from venation.trials.predict import Prediction

GREY = Image.new("RGB", (20, 10), (100, 100, 100))


def square_mask() -> np.ndarray:
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[2:8, 5:15] = 255
    return mask


def test_the_mask_is_tinted_and_outlined() -> None:
    drawn = np.asarray(draw_mask(GREY, square_mask()))
    inside = square_mask() > 0
    assert (drawn[~inside] == 100).all()
    core = np.zeros_like(inside)
    core[3:7, 6:14] = True
    assert (drawn[inside & ~core] == (255, 0, 200)).all()
    assert (drawn[core] == np.rint(0.65 * 100 + 0.35 * np.array((255, 0, 200)))).all()


def test_heat_grows_with_its_value_and_zero_changes_nothing() -> None:
    heat = np.tile(np.linspace(0, 1, 20, dtype=np.float32), (10, 1))
    drawn = np.asarray(draw_heat(GREY, heat)).astype(int)
    assert (drawn[:, 0] == 100).all()
    changed = np.abs(drawn - 100).sum(axis=2)[0]
    assert changed[-1] > changed[10] > 0


def test_only_maps_of_the_prediction_are_drawn() -> None:
    heat = np.zeros((10, 20), dtype=np.float32)
    heat[0, 0] = 1
    both = Prediction(Path("a"), "x", 1.0, [("x", 1.0)], square_mask(), heat)
    drawn = draw_prediction(GREY, both)
    assert drawn.getpixel((0, 0)) != (100, 100, 100)
    assert drawn.getpixel((5, 2)) == (255, 0, 200)
    assert draw_prediction(GREY, both, mask=False, heat=False).tobytes() == GREY.tobytes()
    neither = Prediction(Path("a"), "x", 1.0, [("x", 1.0)], None, None)
    assert draw_prediction(GREY, neither).tobytes() == GREY.tobytes()


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="map of 20x10 does not fit an image of 10x20"):
        draw_mask(Image.new("RGB", (10, 20)), square_mask())
    with pytest.raises(ValueError, match="does not fit"):
        draw_heat(Image.new("RGB", (10, 20)), np.zeros((10, 20), dtype=np.float32))


def test_the_outline_of_a_large_image_is_wider_and_bands_leave_no_seam() -> None:
    image, mask = Image.new("RGB", (3000, 600), (100, 100, 100)), np.zeros((600, 3000), np.uint8)
    mask[100:500, 100:2900] = 255
    drawn = np.asarray(draw_mask(image, mask))
    outlined = (drawn == (255, 0, 200)).all(axis=2)
    expected = mask > 0
    expected[103:497, 103:2897] = False
    assert np.array_equal(outlined, expected)
