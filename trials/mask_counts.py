"""Count, image by image, the pixels that predicted and true masks have in common.

Shapes: B batch, K maps of logits, C classes of the mask (K - 1, or 1 for one map), H W the image's
size, h w the size of the mask logits, I images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.batch import Batch, WindowBatch, Windows
from ..models.mask_logits import mask_shares, predicted_mask, resize_shares, structures
from .boundary import boundary_f
from .losses import pixel_entropy
from .mask_metrics import REF_EPSILON, MaskOutcomes
from .metrics import Floats
from .stitching import Stitcher

# A cell of the logits' size belongs to the structure if the mask covers half of it.
_HALF = 0.5


class MaskCounts(NamedTuple):
    """The counts of a batch in float64, and its reference IoU.

    ``counts_BC7`` has intersection, predicted and true pixels, cross-entropy, and the first three
    again at the logits' size, of each class; one structure counts as one class. The cross-entropy
    is that of all classes. ``cells`` tells whether that size differs from the mask's.
    ``boundary_B`` is empty unless requested. ``ref`` is defined for one structure only.
    """

    counts_BC7: Tensor
    cells: bool
    boundary_B: Floats
    ref: Tensor | None


def count_masks(logits_BKhw: Tensor, batch: Batch, *, boundaries: bool) -> MaskCounts:
    """Count over the images that have a mask, at the threshold 0.5 or of the most probable class.

    At the mask's full size the logits are resized bilinearly. At the logits' size, a cell is true
    if the mask covers at least half of it (of several classes, the one that covers most); for the
    reference IoU, if the mask touches it (XMNet and MNSA, section 3.4).
    """
    valid_B, maps = batch.has_mask_B, logits_BKhw.shape[1]
    logits_BKhw = logits_BKhw[valid_B].float()
    mask_B1HW = batch.mask_B1HW[valid_B]
    soft_BKhw = resize_shares(mask_shares(mask_B1HW, maps), logits_BKhw)
    bce_B1 = pixel_entropy(logits_BKhw, soft_BKhw).mean(dim=(2, 3))
    full_BKHW = F.interpolate(logits_BKhw, mask_B1HW.shape[-2:], mode="bilinear", align_corners=False)
    found_BCHW, actual_BCHW = structures(predicted_mask(full_BKHW), maps), structures(mask_B1HW, maps)
    cell_BChw = structures(predicted_mask(logits_BKhw), maps)
    actual_cell_BChw = soft_BKhw >= _HALF if maps == 1 else structures(predicted_mask(soft_BKhw), maps)
    overlap = _overlap(found_BCHW, actual_BCHW)
    columns = (*overlap, bce_B1.double().expand_as(overlap[0]), *_overlap(cell_BChw, actual_cell_BChw))
    return MaskCounts(
        torch.stack(columns, dim=2),
        cells=logits_BKhw.shape[-2:] != mask_B1HW.shape[-2:],
        boundary_B=_boundaries(found_BCHW, actual_BCHW) if boundaries else np.empty(0),
        ref=_reference_iou(cell_BChw, soft_BKhw) if maps == 1 else None,
    )


def _reference_iou(predicted_B1hw: Tensor, soft_B1hw: Tensor) -> Tensor:
    both_B1, predicted_B1, actual_B1 = _overlap(predicted_B1hw, soft_B1hw != 0)
    union = (predicted_B1 + actual_B1 - both_B1).sum() + REF_EPSILON
    return (both_B1.sum() + REF_EPSILON) / union


class MaskCounter:
    """The counts of a stream of batches; whole images are put together from their windows.

    ``classes`` names the mask classes of the network, if there are several.
    """

    def __init__(self, *, boundaries: bool, classes: tuple[str, ...] = ()) -> None:
        self.counts: list[MaskCounts] = []
        self._boundaries = boundaries
        self._classes = classes
        self._image: WholeMask | None = None

    def add(self, logits_BKhw: Tensor, batch: Batch) -> None:
        """Count a batch with a mask; of windows, the image once its last one is there."""
        if not isinstance(batch, WindowBatch):
            self.counts.append(count_masks(logits_BKhw, batch, boundaries=self._boundaries))
            return
        place = batch.windows
        if place.mask_1HW is None:
            return
        if place.first == 0 or self._image is None:
            self._image = WholeMask(place, place.mask_1HW)
        self._image.add(logits_BKhw, place.first)
        if place.first + len(logits_BKhw) == len(place.grid):
            self.counts.append(self._image.counts(boundaries=self._boundaries))
            self._image = None

    def outcomes(self) -> MaskOutcomes | None:
        """Return the counts of all images; None if there were none."""
        return mask_outcomes(self.counts, self._classes) if self.counts else None

    def reference_ious(self) -> Floats:
        """Return the reference IoU of every batch; none with several classes."""
        return np.array([float(counts.ref) for counts in self.counts if counts.ref is not None])


class WholeMask:
    """The counts of one whole image at its own size, from bands of rows of its windows' logits.

    Beside the two masks it keeps one band, so memory does not grow with the image.
    """

    def __init__(self, place: Windows, mask_1HW: Tensor) -> None:
        self._stitcher = Stitcher(place.grid, place.size)
        self._actual_1HW = mask_1HW
        self._predicted_HW = np.zeros(place.size, dtype=np.uint8)
        self._sums_C4: Tensor | None = None
        self._maps = 1

    def add(self, logits_BKhw: Tensor, first: int) -> None:
        """Count the rows that the windows from number ``first`` on finish."""
        self._maps = maps = logits_BKhw.shape[1]
        for top, band in self._stitcher.add(logits_BKhw.float().cpu().numpy(), first):
            band_KHW = torch.from_numpy(band).to(logits_BKhw.device)
            rows = slice(top, top + band_KHW.shape[1])
            actual_11HW = self._actual_1HW[None, :, rows].to(band_KHW.device)
            predicted_11HW = predicted_mask(band_KHW[None])
            bce_1 = pixel_entropy(band_KHW[None], mask_shares(actual_11HW.float(), maps)).double().sum(dim=(1, 2, 3))
            overlap = [part[0] for part in _overlap(structures(predicted_11HW, maps), structures(actual_11HW, maps))]
            sums_C4 = torch.stack([*overlap, bce_1.expand_as(overlap[0])], dim=1)
            self._sums_C4 = sums_C4 if self._sums_C4 is None else self._sums_C4 + sums_C4
            self._predicted_HW[rows] = predicted_11HW[0, 0].cpu().numpy()

    def counts(self, *, boundaries: bool) -> MaskCounts:
        """Return the counts, as of a batch of one image; the logits' size is the image's."""
        assert self._sums_C4 is not None
        both_C, predicted_C, actual_C, bce_C = self._sums_C4.T
        overlap = (both_C, predicted_C, actual_C)
        score = np.empty(0)
        if boundaries:
            masks = (torch.from_numpy(self._predicted_HW)[None, None], self._actual_1HW[None])
            score = _boundaries(*(structures(mask_11HW, self._maps) for mask_11HW in masks))
        return MaskCounts(
            torch.stack([*overlap, bce_C / self._predicted_HW.size, *overlap], dim=1)[None],
            cells=False,
            boundary_B=score,
            ref=(both_C + REF_EPSILON)[0] / (predicted_C + actual_C - both_C + REF_EPSILON)[0]
            if self._maps == 1
            else None,
        )


def mask_outcomes(batches: Sequence[MaskCounts], classes: tuple[str, ...] = ()) -> MaskOutcomes:
    """Return the counts of all batches, image by image; ``classes`` as in ``MaskCounter``."""
    columns_7IC = np.moveaxis(torch.cat([batch.counts_BC7 for batch in batches]).cpu().numpy(), 2, 0)
    bce_I = columns_7IC[3, :, 0]
    columns = columns_7IC if columns_7IC.shape[2] > 1 else columns_7IC[..., 0]
    both_I, predicted_I, actual_I = (column.astype(np.int64) for column in columns[:3])
    cell_both_I, cell_predicted_I, cell_actual_I = (column.astype(np.int64) for column in columns[4:])
    cells = MaskOutcomes(cell_both_I, cell_predicted_I, cell_actual_I, bce_I, classes=classes)
    boundary_I = np.concatenate([batch.boundary_B for batch in batches])
    return MaskOutcomes(
        both_I,
        predicted_I,
        actual_I,
        bce_I,
        cells=cells if batches[0].cells else None,
        boundary_I=boundary_I if len(boundary_I) else None,
        classes=classes,
    )


def _overlap(predicted_BCHW: Tensor, actual_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels of both, of the predicted and of the true mask, each ``(B, C)``."""
    dims = (2, 3)
    both_BC = (predicted_BCHW & actual_BCHW).sum(dims)
    return both_BC.double(), predicted_BCHW.sum(dims).double(), actual_BCHW.sum(dims).double()


def _boundaries(predicted_BCHW: Tensor, actual_BCHW: Tensor) -> Floats:
    """Return the boundary F-measure of each image, the mean over the classes that it has."""
    return np.array([_boundary(*pair) for pair in zip(predicted_BCHW.cpu(), actual_BCHW.cpu(), strict=True)])


def _boundary(predicted_CHW: Tensor, actual_CHW: Tensor) -> float:
    pairs = list(zip(predicted_CHW.numpy(), actual_CHW.numpy(), strict=True))
    seen = [pair for pair in pairs if pair[0].any() or pair[1].any()] or pairs[:1]
    return float(np.mean([boundary_f(*pair) for pair in seen]))
