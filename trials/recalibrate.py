"""Recompute BatchNorm statistics from unaugmented training images before a network is scored.

After a short training, running statistics lag behind the weights and come from augmented images:
noise that is unrelated to the architecture.

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

    They become the means of the batches' own statistics (the variances unbiased), weighted by batch
    size; the rest of the network is in eval mode. A frozen base keeps its statistics. A network
    without BatchNorm does not change. A last batch of one image is skipped: it has no variance. The
    network's mode is restored.
    """
    was_training = network.training
    network.train()
    norms = [module for module in _batch_norms(network, task) if module.training]
    network.eval()
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.train()
    if norms:
        _pass(network, norms, batches, device, segment=task != "classify")
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    network.train(was_training)


def _batch_norms(network: MultitaskNetwork, task: Task) -> Iterator[_BatchNorm]:
    trained: nn.Module | None = network.decoder
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            in_decoder = trained is not None and name.startswith("decoder.")
            if task == "multitask" or in_decoder == (task == "segment"):
                yield module


def average_statistics(norms: Sequence[_BatchNorm], batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches and set each BatchNorm's momentum so that it averages over images.

    Running statistics become (1 - momentum) old + momentum new: the first batch replaces the old
    ones. A batch of one image after larger ones is skipped: it has no variance. The caller restores
    the momenta.
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
    norms: Sequence[_BatchNorm],
    batches: Iterable[Batch],
    device: torch.device,
    *,
    segment: bool,
) -> None:
    for batch in average_statistics(norms, batches):
        network(batch.image_BCHW.to(device), segment=segment)
