"""Compute a batch's gradients in chunks if the whole batch does not fit into memory.

Shapes: B batch, H W the image's size.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

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
        output = forward(network, chunk, config, task)
        counts = None if len(chunk.label_B) == len(batch.label_B) else (covered(chunk), covered(batch))
        loss = chunk_loss(output, chunk, config, task=task, epoch=epoch, counts=counts, class_weight_N=class_weight_N)
        torch.autograd.backward(loss.total / group)
        for name, value in (loss.parts | {"total": loss.total}).items():
            sums[name] = sums[name] + value.detach() if name in sums else value.detach()
    return sums


def forward(network: nn.Module, batch: Batch, config: TrainConfig, task: Task) -> NetworkOutput:
    """Return the network's output for a batch, in the precision of the config."""
    device = batch.image_BCHW.device
    dtype = precision_dtype(config, device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        output: NetworkOutput = network(batch.image_BCHW, segment="segment" in single_tasks(task))
    return output


def chunk_loss(
    output: NetworkOutput,
    chunk: Batch,
    config: TrainConfig,
    *,
    task: Task,
    epoch: int,
    counts: tuple[Tensor, Tensor] | None,
    class_weight_N: Tensor | None = None,
) -> Loss:
    """Return the share of a chunk in the loss of its batch.

    ``counts`` are what ``covered`` says of both, None for a whole batch.
    """
    losses = []
    for each in single_tasks(task):
        part = task_loss(output, chunk, config, task=each, epoch=epoch, class_weight_N=class_weight_N)
        losses.append(part if counts is None else _weighted(part, *counts, config, task=each))
    return joint_loss(losses[0], losses[1], config) if len(losses) == 2 else losses[0]


def covered(batch: Batch) -> Tensor:
    """Return the numbers of images, of images with a mask, and with a mask that is not empty."""
    filled_B = batch.has_mask_B & (batch.mask_B1HW.amax(dim=(1, 2, 3)) > 0)
    images = torch.full_like(filled_B, True)
    return torch.stack([images.sum(), batch.has_mask_B.sum(), filled_B.sum()]).float()


def _weighted(loss: Loss, part_3: Tensor, whole_3: Tensor, config: TrainConfig, *, task: SingleTask) -> Loss:
    """Return a part's share of the loss of the whole batch, of which both are ``covered``."""
    images, masks, filled = (part_3 / whole_3.clamp(min=1)).unbind()
    if task == "segment":
        return Loss(loss.total * masks, {name: value * masks for name, value in loss.parts.items()})
    total, parts = loss.total * images, {name: value * images for name, value in loss.parts.items()}
    if "gate" in parts:
        parts["gate"] = loss.parts["gate"] * filled
        total = total + config.mask_weight * (parts["gate"] - loss.parts["gate"] * images)
    return Loss(total, parts)
