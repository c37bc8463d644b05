"""Windows cover every pixel, overlap, and have weights that add up to one."""

import numpy as np
import pytest
import torch

from venation.data.windows import OVERLAP, Axis, WindowGrid

SIDES = [(64, 32), (65, 32), (33, 32), (32, 32), (31, 32), (1, 16), (1000, 48), (97, 40)]


@pytest.mark.parametrize(("length", "window"), SIDES)
def test_windows_reach_from_end_to_end_and_overlap(length: int, window: int) -> None:
    starts = Axis(length, window).starts
    assert starts[0] == 0 and starts[-1] == max(0, length - window)
    # Rounding moves a window by less than a pixel.
    assert all(0 < step <= window * (1 - OVERLAP) + 1 for step in np.diff(starts))


@pytest.mark.parametrize(("length", "window"), SIDES)
def test_the_weights_of_every_pixel_add_up_to_one(length: int, window: int) -> None:
    axis = Axis(length, window)
    total = np.zeros(max(length, window))
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        total[start : start + window] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_the_weights_are_gaussians_divided_by_their_sum() -> None:
    axis = Axis(24, 16)
    assert axis.starts == (0, 8)
    gaussian = np.exp(-((np.arange(16) - 7.5) ** 2) / (2 * 2.0**2))
    expected = gaussian.copy()
    expected[8:] /= gaussian[8:] + gaussian[:8]
    expected[:8] = 1
    np.testing.assert_allclose(axis.weights[0], expected, rtol=1e-6)


def test_a_row_is_finished_where_the_next_begins() -> None:
    axis = Axis(50, 20)
    assert axis.finished == (*axis.starts[1:], 50)


def test_a_grid_goes_row_by_row_and_crops_what_a_window_sees() -> None:
    grid = WindowGrid((20, 40), (16, 16))
    assert len(grid) == 2 * 3 and [grid.place(number) for number in (0, 2, 3)] == [(0, 0), (0, 2), (1, 0)]
    image = torch.arange(20 * 40).view(1, 20, 40)
    assert torch.equal(grid.crop(image, 4), image[:, 4:20, 12:28])


def test_a_small_image_has_one_window_that_is_cut() -> None:
    grid = WindowGrid((10, 12), (16, 16))
    assert len(grid) == 1 and grid.crop(torch.zeros(3, 10, 12), 0).shape == (3, 10, 12)


def test_a_panorama_of_30000_pixels_has_a_row_of_windows() -> None:
    grid = WindowGrid((256, 30_000), (256, 256))
    assert len(grid.rows.starts) == 1 and len(grid) == len(grid.columns.starts) < 250
