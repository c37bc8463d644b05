"""Turns by right angles against NumPy."""

import numpy as np
import torch

from venation.data.joint_transforms import JointTurn


def test_turns_are_right_angles_of_image_and_mask_alike() -> None:
    torch.manual_seed(0)
    image, mask = torch.arange(48.0).view(3, 4, 4), torch.arange(16.0).view(1, 4, 4)
    seen = {quarters: 0 for quarters in range(4)}
    for _ in range(400):
        turned, turned_mask = JointTurn(0.75)(image, mask)
        (quarters,) = [k for k in range(4) if np.array_equal(turned, np.rot90(image, k, (1, 2)))]
        np.testing.assert_array_equal(turned_mask, np.rot90(mask, quarters, (1, 2)))
        seen[quarters] += 1
    assert all(65 < count < 140 for count in seen.values())
