"""Overlays change only the pixels of the mask or the heat."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from venation.data.mask_classes import class_colours
from venation.trials.overlay import MASK_COLOUR, draw_heat, draw_mask, draw_prediction
from venation.trials.prediction import Prediction

GREY = Image.new("RGB", (20, 10), (100, 100, 100))


def square_mask() -> np.ndarray:
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[2:8, 5:15] = 255
    return mask


def test_the_contour_is_around_the_mask_and_nothing_else_changes() -> None:
    drawn = np.asarray(draw_mask(GREY, square_mask()))
    ring = binary_dilation(square_mask() > 0, np.ones((3, 3))) & (square_mask() == 0)
    assert (drawn[~ring] == 100).all() and (drawn[ring] == MASK_COLOUR).all()
    full = np.full((10, 20), 255, dtype=np.uint8)
    assert draw_mask(GREY, full).tobytes() == draw_mask(GREY, 0 * full).tobytes() == GREY.tobytes()


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
    assert drawn.getpixel((5, 1)) == MASK_COLOUR
    assert draw_prediction(GREY, both, mask=False, heat=False).tobytes() == GREY.tobytes()
    neither = Prediction(Path("a"), "x", 1.0, [("x", 1.0)], None, None)
    assert draw_prediction(GREY, neither).tobytes() == GREY.tobytes()


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="map of 20x10 does not fit an image of 10x20"):
        draw_mask(Image.new("RGB", (10, 20)), square_mask())
    with pytest.raises(ValueError, match="does not fit"):
        draw_heat(Image.new("RGB", (10, 20)), np.zeros((10, 20), dtype=np.float32))


def test_the_contour_of_a_large_image_is_wider_and_half_of_it_is_a_casing() -> None:
    image, mask = Image.new("RGB", (3000, 600), (100, 100, 100)), np.zeros((600, 3000), np.uint8)
    mask[100:500, 100:2900] = np.random.default_rng(0).random((400, 2800)) < 0.001
    drawn = np.asarray(draw_mask(image, mask))
    coloured = (drawn == MASK_COLOUR).all(axis=2)
    near = binary_dilation(mask > 0, np.ones((9, 9)))  # 4 of 8 pixels
    assert np.array_equal(coloured, near & (mask == 0))
    around = binary_dilation(mask > 0, np.ones((17, 17)))
    assert np.array_equal((drawn != 100).any(axis=2), around & (mask == 0))


def test_each_mask_class_has_a_contour_of_its_own_colour() -> None:
    mask = np.zeros((10, 20), dtype=np.uint8)
    mask[4:6, 4:6], mask[4:6, 12:14] = 1, 2
    drawn = draw_mask(GREY, mask, ("vein", "lesion"))
    assert [drawn.getpixel(at) for at in ((4, 3), (12, 3))] == class_colours(2)
