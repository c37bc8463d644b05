"""One batch's gradients, a few images at a time where all of them do not fit into memory.

Shapes: B batch, H W the image's size.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..data.dataset import Batch
from ..models.network import MultitaskNetwork
from .kinds import Task
from .losses import Loss, task_loss
from .optimise import precision_dtype
from .trial_config import TrainConfig


def split_batch(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in as few chunks of at most ``size`` images as can be, alike in size and in order; 0 is the whole."""
    images = len(batch.label_B)
    number = math.ceil(images / size) if size else 1
    # Alike, and not full ones with a rest: a rest of one image would leave BatchNorm little to learn from.
    for parts in zip(*(part.tensor_split(number) for part in batch), strict=True):
        yield Batch(*parts)


def add_gradients(
    network: MultitaskNetwork, batch: Batch, config: TrainConfig, *, task: Task, epoch: int, group: int, size: int
) -> dict[str, Tensor]:
    """Add one ``group``-th of a batch's gradients, ``size`` images at a time; the detached loss parts and ``total``.

    Every chunk counts by what its means are taken over: its images; for the gate, its masks with something in them;
    for a decoder, its images with a mask. So gradients and losses are the whole batch's, but for what sees the chunk
    alone: BatchNorm in training mode, random numbers, and the Dice loss, which is the mean of the chunks'.
    """
    sums: dict[str, Tensor] = {}
    for chunk in split_batch(batch, size):
        loss = _forward(network, chunk, config, task=task, epoch=epoch)
        if len(chunk.label_B) < len(batch.label_B):
            loss = _share(loss, chunk, batch, config, task=task)
        torch.autograd.backward(loss.total / group)
        for name, value in (loss.parts | {"total": loss.total}).items():
            sums[name] = sums[name] + value.detach() if name in sums else value.detach()
    return sums


def _forward(network: MultitaskNetwork, batch: Batch, config: TrainConfig, *, task: Task, epoch: int) -> Loss:
    device = batch.image_BCHW.device
    dtype = precision_dtype(config, device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        output = network(batch.image_BCHW, segment=task == "segment")
    return task_loss(output, batch, config, task=task, epoch=epoch)


def _share(loss: Loss, chunk: Batch, batch: Batch, config: TrainConfig, *, task: Task) -> Loss:
    """What the chunk's loss adds to the batch's."""
    if task == "segment":
        share = _fraction(chunk.has_mask_B, batch.has_mask_B)
        return Loss(loss.total * share, {name: value * share for name, value in loss.parts.items()})
    images = len(chunk.label_B) / len(batch.label_B)
    total, parts = loss.total * images, {name: value * images for name, value in loss.parts.items()}
    if "gate" in parts:
        parts["gate"] = loss.parts["gate"] * _fraction(_guiding(chunk), _guiding(batch))
        total = total + config.mask_weight * (parts["gate"] - loss.parts["gate"] * images)
    return Loss(total, parts)


def _fraction(of_chunk_B: Tensor, of_batch_B: Tensor) -> Tensor:
    return of_chunk_B.sum() / of_batch_B.sum().clamp(min=1)


def _guiding(batch: Batch) -> Tensor:
    """Which images have a mask that tells the gate something."""
    return batch.has_mask_B & (batch.mask_B1HW.amax(dim=(1, 2, 3)) > 0)
