"""Confusion plots: cells found by their colour, for many numbers of classes."""

import numpy as np
import pytest

from venation.bundles.confusion_plot import cell_colours, cell_size, draw_confusion


def test_colours_are_shares_of_the_row() -> None:
    colours = cell_colours(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 7]])).astype(int)
    assert (colours[1] == 255).all() and (colours[0, 2] == 255).all()
    right, wrong = colours[0, 0], colours[0, 1]
    assert right[2] > right[0] and wrong[0] > wrong[2]
    # A quarter of a row has half of the colour intensity.
    assert tuple(wrong) == tuple(round(255 + 0.5 * (full - 255)) for full in (190, 30, 30))
    assert tuple(colours[2, 2]) == (20, 70, 160)


@pytest.mark.parametrize(("classes", "cell"), [(3, 40), (30, 40), (100, 12), (200, 11), (555, 11), (1540, 5)])
def test_cells_have_room_for_names_up_to_hundreds_of_classes(classes: int, cell: int) -> None:
    assert cell_size(classes) == cell


@pytest.mark.parametrize("classes", [3, 40, 200])
def test_every_count_is_found_at_its_place(classes: int) -> None:
    rng = np.random.default_rng(0)
    counts = np.diag(rng.integers(1, 9, classes))
    counts[0, classes - 1] = 5
    names = [f"class {number}" for number in range(classes)]
    picture = np.asarray(draw_confusion({"test": counts}, names))
    cell = cell_size(classes)
    side = cell * classes
    # The grid is what lies before the margin at the right and at the bottom.
    top, left = picture.shape[0] - 8 - side, picture.shape[1] - 8 - side
    # Beside the middle, which may hold a number, and off the rules.
    at = np.arange(classes) * cell + cell // 2 + cell // 4
    shown = picture[top + at][:, left + at]
    np.testing.assert_array_equal(shown, cell_colours(counts))
    assert (picture[top:, : left - 4] < 128).any(), "names of rows"
    assert (picture[30:top, left:] < 128).any(), "names of columns"


def test_splits_are_stacked_and_long_names_are_cut() -> None:
    counts = np.eye(2, dtype=np.int64)
    one = draw_confusion({"test": counts}, ["a", "b" * 300])
    both = draw_confusion({"test": counts, "new": counts * 4}, ["a", "b" * 300])
    assert both.height == 2 * one.height and one.width < 600
