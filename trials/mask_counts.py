"""Count, image by image, the pixels that predicted and true masks have in common.

Shapes: B batch, H W the image's size, h w the size of the mask logits, I images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import Batch, WindowBatch, Windows
from ..models.mask_logits import mask_shares, resize_shares
from .boundary import boundary_f
from .metrics import REF_EPSILON, Floats, MaskOutcomes
from .stitching import Stitcher

# A cell of the logits' size belongs to the structure if the mask covers half of it.
_HALF = 0.5


class MaskCounts(NamedTuple):
    """The counts of a batch in float64, and its reference IoU.

    ``counts_B7`` has intersection, predicted and true pixels, binary cross-entropy, and the first
    three again at the logits' size. ``cells`` tells whether that size differs from the mask's.
    ``boundary_B`` is empty unless requested.
    """

    counts_B7: Tensor
    cells: bool
    boundary_B: Floats
    ref: Tensor


def count_masks(logits_B1hw: Tensor, batch: Batch, *, boundaries: bool) -> MaskCounts:
    """Count over the images that have a mask, at the threshold 0.5.

    At the mask's full size the logits are resized bilinearly. At the logits' size, a cell is true
    if the mask covers at least half of it; for the reference IoU, if the mask touches it (XMNet and
    MNSA, section 3.4).
    """
    valid_B = batch.has_mask_B
    logits_B1hw = logits_B1hw[valid_B].float()
    mask_B1HW = batch.mask_B1HW[valid_B]
    soft_B1hw = resize_shares(mask_shares(mask_B1HW, 1), logits_B1hw)
    bce_B = F.binary_cross_entropy_with_logits(logits_B1hw, soft_B1hw, reduction="none").mean(dim=(1, 2, 3))
    full_B1HW = F.interpolate(logits_B1hw, mask_B1HW.shape[-2:], mode="bilinear", align_corners=False) > 0
    predicted_B1hw = logits_B1hw > 0
    columns = (*_overlap(full_B1HW, mask_B1HW > 0), bce_B.double(), *_overlap(predicted_B1hw, soft_B1hw >= _HALF))
    both_B, predicted_B, actual_B = _overlap(predicted_B1hw, soft_B1hw != 0)
    union = (predicted_B + actual_B - both_B).sum() + REF_EPSILON
    return MaskCounts(
        torch.stack(columns, dim=1),
        cells=logits_B1hw.shape != mask_B1HW.shape,
        boundary_B=_boundaries(full_B1HW, mask_B1HW > 0) if boundaries else np.empty(0),
        ref=(both_B.sum() + REF_EPSILON) / union,
    )


class MaskCounter:
    """The counts of a stream of batches; whole images are put together from their windows."""

    def __init__(self, *, boundaries: bool) -> None:
        self.counts: list[MaskCounts] = []
        self._boundaries = boundaries
        self._image: WholeMask | None = None

    def add(self, logits_B1hw: Tensor, batch: Batch) -> None:
        """Count a batch with a mask; of windows, the image once its last one is there."""
        if not isinstance(batch, WindowBatch):
            self.counts.append(count_masks(logits_B1hw, batch, boundaries=self._boundaries))
            return
        place = batch.windows
        if place.mask_1HW is None:
            return
        if place.first == 0 or self._image is None:
            self._image = WholeMask(place, place.mask_1HW)
        self._image.add(logits_B1hw, place.first)
        if place.first + len(logits_B1hw) == len(place.grid):
            self.counts.append(self._image.counts(boundaries=self._boundaries))
            self._image = None

    def outcomes(self) -> MaskOutcomes | None:
        """Return the counts of all images; None if there were none."""
        return mask_outcomes(self.counts) if self.counts else None


class WholeMask:
    """The counts of one whole image at its own size, from bands of rows of its windows' logits.

    Beside the two masks it keeps one band, so memory does not grow with the image.
    """

    def __init__(self, place: Windows, mask_1HW: Tensor) -> None:
        self._stitcher = Stitcher(place.grid, place.size)
        self._actual_1HW = mask_1HW > 0
        self._predicted_HW = np.zeros(place.size, dtype=np.bool_)
        self._sums_4: Tensor | None = None

    def add(self, logits_B1hw: Tensor, first: int) -> None:
        """Count the rows that the windows from number ``first`` on finish."""
        for top, band_1HW in self._stitcher.add(logits_B1hw, first):
            rows = slice(top, top + band_1HW.shape[1])
            actual_1HW = self._actual_1HW[:, rows].to(band_1HW.device)
            predicted_1HW = band_1HW > 0
            bce = F.binary_cross_entropy_with_logits(band_1HW, actual_1HW.float(), reduction="sum").double()
            overlap = [part[0] for part in _overlap(predicted_1HW[None], actual_1HW[None])]
            sums_4 = torch.stack([*overlap, bce])
            self._sums_4 = sums_4 if self._sums_4 is None else self._sums_4 + sums_4
            self._predicted_HW[rows] = predicted_1HW[0].cpu().numpy()

    def counts(self, *, boundaries: bool) -> MaskCounts:
        """Return the counts, as of a batch of one image; the logits' size is the image's."""
        assert self._sums_4 is not None
        both, predicted, actual, bce = self._sums_4
        columns = (both, predicted, actual, bce / self._predicted_HW.size, both, predicted, actual)
        score = [boundary_f(self._predicted_HW, self._actual_1HW[0].numpy())] if boundaries else []
        return MaskCounts(
            torch.stack(columns)[None],
            cells=False,
            boundary_B=np.array(score),
            ref=(both + REF_EPSILON) / (predicted + actual - both + REF_EPSILON),
        )


def mask_outcomes(batches: Sequence[MaskCounts]) -> MaskOutcomes:
    """Return the counts of all batches, image by image."""
    columns = torch.cat([batch.counts_B7 for batch in batches]).cpu().numpy().T
    bce_I = columns[3]
    both_I, predicted_I, actual_I = (column.astype(np.int64) for column in columns[:3])
    cell_both_I, cell_predicted_I, cell_actual_I = (column.astype(np.int64) for column in columns[4:])
    cells = MaskOutcomes(cell_both_I, cell_predicted_I, cell_actual_I, bce_I)
    boundary_I = np.concatenate([batch.boundary_B for batch in batches])
    return MaskOutcomes(
        both_I,
        predicted_I,
        actual_I,
        bce_I,
        cells=cells if batches[0].cells else None,
        boundary_I=boundary_I if len(boundary_I) else None,
    )


def _overlap(predicted_B1HW: Tensor, actual_B1HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dims = (1, 2, 3)
    both_B = (predicted_B1HW & actual_B1HW).sum(dims)
    return both_B.double(), predicted_B1HW.sum(dims).double(), actual_B1HW.sum(dims).double()


def _boundaries(predicted_B1HW: Tensor, actual_B1HW: Tensor) -> Floats:
    pairs = zip(predicted_B1HW[:, 0].cpu().numpy(), actual_B1HW[:, 0].cpu().numpy(), strict=True)
    return np.array([boundary_f(predicted_HW, actual_HW) for predicted_HW, actual_HW in pairs])
