"""The boundary F-measure against the definition of DAVIS: disks around every boundary pixel."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from venation.trials.boundary import boundary, boundary_f


def loop_boundary(mask: np.ndarray) -> np.ndarray:
    """Return the boundary by a loop; a neighbour beyond the edge is the pixel itself."""
    height, width = mask.shape
    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            right, below = min(x + 1, width - 1), min(y + 1, height - 1)
            around = {mask[y, right], mask[below, x]}
            if right != x and below != y:
                around.add(mask[below, right])
            found[y, x] = around != {mask[y, x]}
    return found


def dilated_f(predicted: np.ndarray, actual: np.ndarray) -> float:
    """Return the F-measure of boundaries dilated by a disk."""
    guess, truth = loop_boundary(predicted), loop_boundary(actual)
    reach = math.ceil(0.0075 * math.sqrt(actual.shape[0] ** 2 + actual.shape[1] ** 2))
    down, across = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = down**2 + across**2 <= reach**2
    precision = (guess & binary_dilation(truth, disk)).sum() / guess.sum()
    recall = (truth & binary_dilation(guess, disk)).sum() / truth.sum()
    return 2 * precision * recall / (precision + recall)


def blobs(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4) > 0.03


@pytest.mark.parametrize("shape", [(64, 64), (50, 90), (160, 120)])
def test_boundary_f_equals_that_of_dilated_boundaries(shape: tuple[int, int]) -> None:
    predicted, actual = blobs(1, shape), blobs(2, shape)
    np.testing.assert_array_equal(boundary(actual), loop_boundary(actual))
    value = boundary_f(predicted, actual)
    assert value == pytest.approx(dilated_f(predicted, actual))
    assert 0.05 < value < 0.95


def test_an_outline_matches_within_the_tolerance_only() -> None:
    actual = np.zeros((200, 200), dtype=bool)
    actual[40:120, 40:120] = True
    # 0.75 % of a diagonal of 283 pixels is 2.1, hence 3.
    assert boundary_f(np.roll(actual, 3, axis=1), actual) == 1.0
    further = np.roll(actual, 4, axis=1)
    distance = distance_transform_edt(~boundary(actual))[boundary(further)]
    assert boundary_f(further, actual) == pytest.approx((distance <= 3).mean())
    assert boundary_f(further, actual) < 1.0


def test_masks_without_a_boundary() -> None:
    empty, full = np.zeros((20, 20), dtype=bool), np.ones((20, 20), dtype=bool)
    some = empty.copy()
    some[5:9, 5:9] = True
    assert boundary_f(empty, empty) == boundary_f(full, empty) == 1.0
    assert boundary_f(some, empty) == boundary_f(empty, some) == 0.0
    far = empty.copy()
    far[15:18, 15:18] = True
    assert boundary_f(some, far) == 0.0
