"""Stitched windows give back the image that they were cut from, at any size and scale."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from venation.data.windows import WindowGrid
from venation.trials.stitching import Stitcher


def stitch(grid: WindowGrid, size: tuple[int, int], maps: torch.Tensor, batch: int) -> torch.Tensor:
    """Return the whole map, and check that the bands follow each other."""
    stitcher = Stitcher(grid, size)
    starts, arrays = range(0, len(maps), batch), maps.numpy()
    bands = [band for first in starts for band in stitcher.add(arrays[first : first + batch], first)]
    tops = np.cumsum([0, *(band.shape[1] for _, band in bands)])
    assert [top for top, _ in bands] == tops[:-1].tolist() and tops[-1] == size[0]
    return torch.from_numpy(np.concatenate([band for _, band in bands], axis=1))


def windows(image: torch.Tensor, grid: WindowGrid) -> torch.Tensor:
    """Return all windows, padded with noise that must not come back."""
    cut = [grid.crop(image, number) for number in range(len(grid))]
    noise = torch.full((image.shape[0], *grid.window), 99.0)
    for place, window in enumerate(cut):
        cut[place] = noise.clone()
        cut[place][:, : window.shape[1], : window.shape[2]] = window
    return torch.stack(cut)


@pytest.mark.parametrize("size", [(64, 64), (61, 97), (20, 131), (131, 20), (9, 9), (24, 24)], ids=str)
@pytest.mark.parametrize("batch", [1, 5])
def test_windows_of_an_image_give_it_back(size: tuple[int, int], batch: int) -> None:
    image, grid = torch.randn(2, *size), WindowGrid(size, (24, 24))
    torch.testing.assert_close(stitch(grid, size, windows(image, grid), batch), image, atol=1e-5, rtol=1e-5)


def test_a_constant_stays_constant() -> None:
    grid = WindowGrid((50, 70), (16, 32))
    found = stitch(grid, (50, 70), torch.full((len(grid), 1, 16, 32), 3.0), 4)
    torch.testing.assert_close(found, torch.full((1, 50, 70), 3.0))


def test_windows_that_disagree_are_weighted_by_gaussians() -> None:
    grid = WindowGrid((16, 24), (16, 16))
    maps = torch.stack([torch.zeros(1, 16, 16), torch.ones(1, 16, 16)])
    gaussian = np.exp(-((np.arange(16) - 7.5) ** 2) / 8)
    expected = np.concatenate([np.zeros(8), gaussian[:8] / (gaussian[:8] + gaussian[8:]), np.ones(8)])
    np.testing.assert_allclose(stitch(grid, (16, 24), maps, 2)[0, 3], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(90, 40), (23, 57), (45, 30), (200, 31), (7, 7)], ids=str)
def test_maps_of_a_scaled_copy_are_resized_as_the_whole_map_would_be(size: tuple[int, int]) -> None:
    copy, grid = torch.randn(1, 45, 60), WindowGrid((45, 60), (16, 16))
    expected = F.interpolate(copy[None], size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(stitch(grid, size, windows(copy, grid), 3), expected, atol=1e-4, rtol=1e-4)


def test_small_maps_are_resized_to_the_windows() -> None:
    grid = WindowGrid((16, 16), (16, 16))
    small = torch.randn(1, 1, 4, 4)
    expected = F.interpolate(small, (16, 16), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(stitch(grid, (16, 16), small, 1), expected)
