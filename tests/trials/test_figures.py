"""Figures of predictions: enlarged pictures, captions, legends and colour bars."""

import numpy as np
from PIL import Image

from venation.data.mask_classes import class_colours
from venation.trials.figures import add_strip, heat_figure, mask_figure, mask_keys
from venation.trials.overlay import MASK_COLOUR

GREY = Image.new("RGB", (100, 50), (100, 100, 100))


def strip(figure: Image.Image, height: int) -> np.ndarray:
    """Return the pixels below the picture."""
    return np.asarray(figure)[height:]


def test_a_small_image_is_enlarged_by_a_whole_number_and_a_large_one_is_not() -> None:
    mask = np.zeros((50, 100), dtype=np.uint8)
    mask[10:20, 10:20] = 255
    figure = mask_figure(GREY, mask, caption="leaf.png: ash 99.0 %")
    assert figure.width == 800 and figure.height > 400
    pixels = np.asarray(figure)
    assert (pixels[80:160, 80:160] == 100).all() and tuple(pixels[79, 100]) == MASK_COLOUR
    large = Image.new("RGB", (1700, 20))
    assert mask_figure(large, np.zeros((20, 1700), dtype=np.uint8), caption="").width == 1700


def test_the_legend_has_the_colour_of_each_class_in_rows_that_fit() -> None:
    names = [f"structure number {number}" for number in range(12)]
    keys = mask_keys(names)
    figure = add_strip(GREY.resize((400, 300)), "caption", keys)
    below = strip(figure, 300).reshape(-1, 3)
    for colour in class_colours(12):
        assert (below == colour).all(axis=1).sum() > 50
    assert figure.width == 400


def test_a_caption_of_any_length_and_script_fits() -> None:
    for caption in ("x" * 5000, "größer als \u8449.jpg", "", "\u202e"):
        figure = add_strip(GREY, caption, [])
        below = strip(figure, 50)
        assert (below[:, -1] == 255).all() and figure.width == 100


def test_the_colour_bar_runs_from_the_picture_to_the_hottest_colour() -> None:
    heat = np.tile(np.linspace(0, 1, 100, dtype=np.float32), (50, 1))
    figure = heat_figure(GREY, heat, caption="leaf.png", label="ash")
    pixels = np.asarray(figure).astype(int)
    hottest = pixels[200, 799]
    bar = strip(figure, 400).reshape(-1, 3).astype(int)
    grey_end = (np.abs(bar - 150).max(axis=1) <= 3).sum()
    # The bar lies on another grey than the picture, of which three tenths show through.
    hot_end = (np.abs(bar - (hottest + 0.3 * 50)).max(axis=1) <= 4).sum()
    assert grey_end > 5 and hot_end > 5 and (pixels[200, 0] == 100).all()
