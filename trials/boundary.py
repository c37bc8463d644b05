"""Boundary F-measure of DAVIS: how well the outline of a mask follows the true outline.

Shapes: H W the size of the mask.
"""

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

# Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object
# Segmentation".
TOLERANCE = 0.0075

# Side of the parts in which distances are computed, so that memory does not grow with the image.
_PART = 1024

Mask = NDArray[np.bool_]


def boundary_f(predicted_HW: Mask, actual_HW: Mask) -> float:
    """Return the F-measure of the boundary pixels of two masks.

    It is 1 if neither mask has a boundary, 0 if only one has. A boundary pixel matches if the other
    mask's boundary has a pixel within 0.75 % of the image's diagonal, rounded up to whole pixels.
    Precision is taken over the predicted pixels, recall over the true ones (DAVIS).
    """
    predicted_edge_HW, actual_edge_HW = boundary(predicted_HW), boundary(actual_HW)
    if not predicted_edge_HW.any() or not actual_edge_HW.any():
        return float(predicted_edge_HW.any() == actual_edge_HW.any())
    distance = math.ceil(TOLERANCE * math.hypot(*actual_HW.shape))
    precision = _share_near(predicted_edge_HW, actual_edge_HW, distance)
    recall = _share_near(actual_edge_HW, predicted_edge_HW, distance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(mask_HW: Mask) -> Mask:
    """Return the pixels that differ from their right, lower or lower right neighbour.

    The edge of the image is no boundary.
    """
    edge_HW = np.zeros_like(mask_HW)
    edge_HW[:, :-1] |= mask_HW[:, :-1] != mask_HW[:, 1:]
    edge_HW[:-1] |= mask_HW[:-1] != mask_HW[1:]
    edge_HW[:-1, :-1] |= mask_HW[:-1, :-1] != mask_HW[1:, 1:]
    return edge_HW


def _share_near(edge_HW: Mask, other_HW: Mask, distance: int) -> float:
    """Return the share of ``edge_HW`` with a pixel of ``other_HW`` within ``distance``."""
    rows, columns = (range(0, side, _PART) for side in edge_HW.shape)
    return sum(_count_near(edge_HW, other_HW, distance, *at) for at in product(rows, columns)) / int(edge_HW.sum())


def _count_near(edge_HW: Mask, other_HW: Mask, distance: int, top: int, left: int) -> int:
    """Return the number of near pixels in one part of the image."""
    edge = edge_HW[top : top + _PART, left : left + _PART]
    # No pixel beyond this margin can be near one of the part.
    low, first = max(0, top - distance), max(0, left - distance)
    other = other_HW[low : top + _PART + distance, first : left + _PART + distance]
    if not edge.any() or not other.any():
        return 0
    apart = distance_transform_edt(~other)[top - low :, left - first :][: edge.shape[0], : edge.shape[1]]
    return int((apart[edge] <= distance).sum())
