"""Rows of numbers by image: of a whole image in windows, the mean over its windows.

Shapes: B batch, I images, N numbers.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.batch import Batch, WindowBatch


class ImageMeans:
    """The rows of a stream of batches, one for each image."""

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def add(self, rows_BN: Tensor, batch: Batch) -> None:
        """Add the rows of a batch; those of windows count by their share of the image's windows."""
        if not isinstance(batch, WindowBatch):
            self._rows.append(rows_BN)
            return
        share_1N = rows_BN.sum(dim=0, keepdim=True) / len(batch.windows.grid)
        if batch.windows.first == 0:
            self._rows.append(share_1N)
        else:
            self._rows[-1] = self._rows[-1] + share_1N

    def rows(self) -> NDArray[np.float32]:
        """Return the rows of all images ``(I, N)`` in float32."""
        rows: NDArray[np.float32] = torch.cat(self._rows).float().cpu().numpy()
        return rows
