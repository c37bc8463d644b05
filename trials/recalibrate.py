"""BatchNorm statistics computed anew from the training images as they are, before a network is judged.

A short training ends with running statistics that lag behind its weights and that augmented images made: noise that
says nothing of an architecture.

Shapes: B batch.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..data.dataset import Batch
from ..models.network import MultitaskNetwork
from .kinds import Task


def recalibrate(network: MultitaskNetwork, batches: Iterable[Batch], *, device: torch.device, task: Task) -> None:
    """Replace the running mean and variance of every BatchNorm that the task trains, in fp32.

    They become the means of the batches' own statistics (the variances unbiased), weighted by batch size, all else of
    the network in eval mode. Those of a frozen base stay as they are, and so does a network without BatchNorm. A last
    batch of one image is left out: it has no variance. The network's mode is put back afterwards.
    """
    was_training = network.training
    network.train()
    moving = [module for module in _batch_norms(network, task) if module.training]
    network.eval()
    momenta = [module.momentum for module in moving]
    for module in moving:
        module.reset_running_stats()
        module.train()
    if moving:
        _pass(network, moving, batches, device, segment=task == "segment")
    for module, momentum in zip(moving, momenta, strict=True):
        module.momentum = momentum
    network.train(was_training)


def _batch_norms(network: MultitaskNetwork, task: Task) -> Iterator[_BatchNorm]:
    trained: nn.Module | None = network.decoder
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            in_decoder = trained is not None and name.startswith("decoder.")
            if in_decoder == (task == "segment"):
                yield module


def weigh(norms: Sequence[_BatchNorm], batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, with each BatchNorm's momentum set so that its statistics become their mean, weighted by images.

    Running statistics become (1 - momentum) old + momentum new: the first batch leaves nothing of the old. A batch of
    one image after larger ones is left out: it has no variance. Who calls puts the momenta back.
    """
    seen = largest = 0
    for batch in batches:
        images = len(batch.label_B)
        if images == 1 < largest:
            continue
        seen, largest = seen + images, max(largest, images)
        for norm in norms:
            norm.momentum = images / seen
        yield batch


@torch.no_grad()
def _pass(
    network: MultitaskNetwork,
    moving: Sequence[_BatchNorm],
    batches: Iterable[Batch],
    device: torch.device,
    *,
    segment: bool,
) -> None:
    for batch in weigh(moving, batches):
        network(batch.image_BCHW.to(device), segment=segment)
