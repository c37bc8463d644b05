"""Measure how wide the structure of a mask is.

Shapes: H W the mask's height and width.
"""

import math

import numpy as np
from numpy.typing import NDArray

# A boundary of random direction crosses 4 / pi as many pixel edges as it is long.
_EDGES_PER_LENGTH = 4 / math.pi


def structure_width(mask_HW: NDArray[np.uint8]) -> float:
    """Return the mean width in pixels of the structure, any non-zero pixel; 0 without any.

    A strip much longer than wide has an area of width x length, and a boundary of two lengths: the
    width is twice the area divided by the boundary. The boundary is estimated by the number of
    pixel edges between structure and background.
    """
    inside_HW = np.pad(mask_HW > 0, 1)
    edges = int((inside_HW[1:] != inside_HW[:-1]).sum()) + int((inside_HW[:, 1:] != inside_HW[:, :-1]).sum())
    return 2 * int(inside_HW.sum()) * _EDGES_PER_LENGTH / edges if edges else 0.0
