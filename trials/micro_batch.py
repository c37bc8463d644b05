"""Compute a batch's gradients in chunks if the whole batch does not fit into memory.

Shapes: B batch, H W the image's size.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..data.dataset import Batch
from ..models.network import MultitaskNetwork, NetworkOutput
from .kinds import SingleTask, Task, single_tasks
from .losses import Loss, joint_loss, task_loss
from .optimise import precision_dtype
from .trial_config import TrainConfig


def split_batch(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield the batch, in order, in the fewest chunks of at most ``size`` images; 0 is the whole.

    The chunks have nearly equal sizes.
    """
    images = len(batch.label_B)
    number = math.ceil(images / size) if size else 1
    # Equal sizes instead of full chunks with a remainder: a remainder of one image leaves BatchNorm
    # too little data.
    for parts in zip(*(part.tensor_split(number) for part in batch), strict=True):
        yield Batch(*parts)


def add_gradients(
    network: MultitaskNetwork,
    batch: Batch,
    config: TrainConfig,
    *,
    task: Task,
    epoch: int,
    group: int,
    size: int,
    class_weight_N: Tensor | None = None,
) -> dict[str, Tensor]:
    """Add a batch's gradients, divided by ``group``, with at most ``size`` images per pass.

    Returns the detached loss parts and ``total``. Each chunk is weighted by the images that its
    means cover: all of them; for the gate, those with a mask that is not empty; for a decoder,
    those with a mask. Gradients and losses then equal those of the whole batch, except where the
    chunk alone matters: BatchNorm in training mode, random numbers, and the Dice loss, which
    becomes the mean over the chunks.
    """
    sums: dict[str, Tensor] = {}
    for chunk in split_batch(batch, size):
        output = _forward(network, chunk, config, task)
        losses = []
        for each in single_tasks(task):
            part = task_loss(output, chunk, config, task=each, epoch=epoch, class_weight_N=class_weight_N)
            whole = len(chunk.label_B) == len(batch.label_B)
            losses.append(part if whole else _weighted(part, chunk, batch, config, task=each))
        loss = joint_loss(losses[0], losses[1], config) if len(losses) == 2 else losses[0]
        torch.autograd.backward(loss.total / group)
        for name, value in (loss.parts | {"total": loss.total}).items():
            sums[name] = sums[name] + value.detach() if name in sums else value.detach()
    return sums


def _forward(network: MultitaskNetwork, batch: Batch, config: TrainConfig, task: Task) -> NetworkOutput:
    device = batch.image_BCHW.device
    dtype = precision_dtype(config, device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        output: NetworkOutput = network(batch.image_BCHW, segment="segment" in single_tasks(task))
    return output


def _weighted(loss: Loss, chunk: Batch, batch: Batch, config: TrainConfig, *, task: SingleTask) -> Loss:
    """Return the chunk's share of the batch's loss."""
    if task == "segment":
        share = _fraction(chunk.has_mask_B, batch.has_mask_B)
        return Loss(loss.total * share, {name: value * share for name, value in loss.parts.items()})
    images = len(chunk.label_B) / len(batch.label_B)
    total, parts = loss.total * images, {name: value * images for name, value in loss.parts.items()}
    if "gate" in parts:
        parts["gate"] = loss.parts["gate"] * _fraction(_has_gate_target(chunk), _has_gate_target(batch))
        total = total + config.mask_weight * (parts["gate"] - loss.parts["gate"] * images)
    return Loss(total, parts)


def _fraction(of_chunk_B: Tensor, of_batch_B: Tensor) -> Tensor:
    return of_chunk_B.sum() / of_batch_B.sum().clamp(min=1)


def _has_gate_target(batch: Batch) -> Tensor:
    """Return which images have a mask that is not empty."""
    return batch.has_mask_B & (batch.mask_B1HW.amax(dim=(1, 2, 3)) > 0)
