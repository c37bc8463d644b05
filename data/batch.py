"""Batches of tensors: examples stacked, or windows of one whole image.

Shapes: B batch, C channels, H W the network's input.
"""

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor

from .windows import WindowGrid


class Example(NamedTuple):
    """One sample as tensors."""

    image_CHW: Tensor
    label: int
    mask_1HW: Tensor
    has_mask: bool


class Batch(NamedTuple):
    """A batch: normalised float32 images, and float32 masks of {0, 1} or of the numbers of classes.

    The mask of a sample without one is zero.
    """

    image_BCHW: Tensor
    label_B: Tensor
    mask_B1HW: Tensor
    has_mask_B: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the batch with ``change`` applied to every tensor."""
        return type(self)(*(change(part) for part in self))


class Windows(NamedTuple):
    """The place of a batch of windows: the windows of image number ``image`` from ``first`` on.

    ``size`` is the image's own (height, width), which ``scale`` does not change. ``mask_1HW``
    (uint8) has that size; None for an image without a mask.
    """

    grid: WindowGrid
    image: int
    first: int
    size: tuple[int, int]
    mask_1HW: Tensor | None


class WindowBatch(Batch):
    """A batch of windows of one whole image, for evaluation; its own masks are empty."""

    windows: Windows

    @classmethod
    def of(cls, image_BCHW: Tensor, label: int, windows: Windows) -> Self:
        """Return the batch of these windows of an image with this label."""
        number = len(image_BCHW)
        has_mask = torch.full((number,), windows.mask_1HW is not None)
        batch = cls(image_BCHW, torch.full((number,), label), torch.empty(number, 1, 0, 0), has_mask)
        batch.windows = windows
        return batch

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the batch with ``change`` applied to every tensor but the whole image's mask."""
        batch = super().map(change)
        batch.windows = self.windows
        return batch


def image_labels(batch: Batch) -> Tensor:
    """Return the labels of the images that begin in a batch: of windows, those of the first one."""
    if isinstance(batch, WindowBatch):
        return batch.label_B[: 1 if batch.windows.first == 0 else 0]
    return batch.label_B
