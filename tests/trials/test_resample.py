"""Resized maps against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from venation.trials.resample import resize_bilinear, resize_nearest

SIZES = [((7, 5), (20, 31)), ((20, 31), (7, 5)), ((9, 9), (9, 30)), ((1, 1), (4, 3)), ((40, 8), (13, 8))]


@pytest.mark.parametrize(("given", "size"), SIZES, ids=str)
def test_maps_are_resized_as_torch_does(given: tuple[int, int], size: tuple[int, int]) -> None:
    map_BChw = np.random.default_rng(0).normal(size=(2, 3, *given)).astype(np.float32)
    tensor = torch.from_numpy(map_BChw)
    smooth = F.interpolate(tensor, size, mode="bilinear", align_corners=False).numpy()
    np.testing.assert_allclose(resize_bilinear(map_BChw, size), smooth, atol=1e-5)
    sharp = F.interpolate(tensor, size, mode="nearest-exact").numpy()
    np.testing.assert_array_equal(resize_nearest(map_BChw, size), sharp)
