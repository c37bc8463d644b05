"""How well the outline of a mask follows the true one: the boundary F-measure of DAVIS.

Shapes: H W the mask's size.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

# Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation".
TOLERANCE = 0.0075

Mask = NDArray[np.bool_]


def boundary_f(predicted_HW: Mask, actual_HW: Mask) -> float:
    """F-measure of the boundary pixels of two masks; 1 if neither has a boundary, 0 if only one has.

    A boundary pixel counts as found if the other mask's boundary has one within 0.75 % of the image's diagonal, rounded
    up to whole pixels: precision over the predicted pixels, recall over the true ones (DAVIS).
    """
    guess_HW, truth_HW = boundary(predicted_HW), boundary(actual_HW)
    if not guess_HW.any() or not truth_HW.any():
        return float(guess_HW.any() == truth_HW.any())
    reach = math.ceil(TOLERANCE * math.hypot(*actual_HW.shape))
    precision = _share_near(guess_HW, truth_HW, reach)
    recall = _share_near(truth_HW, guess_HW, reach)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask_HW: Mask) -> Mask:
    """The pixels that differ from their right, lower or lower right neighbour; the image's edge is no boundary."""
    edge_HW = np.zeros_like(mask_HW)
    edge_HW[:, :-1] |= mask_HW[:, :-1] != mask_HW[:, 1:]
    edge_HW[:-1] |= mask_HW[:-1] != mask_HW[1:]
    edge_HW[:-1, :-1] |= mask_HW[:-1, :-1] != mask_HW[1:, 1:]
    return edge_HW


def _share_near(own_HW: Mask, other_HW: Mask, reach: int) -> float:
    return float((distance_transform_edt(~other_HW)[own_HW] <= reach).mean())
