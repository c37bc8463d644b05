"""The straightforward training loop: no cache, no fused optimiser, no cut in the graph."""

from collections.abc import Iterator

import torch
from _step_cases import CONFIG, DEVICE, Case, build, loader
from torch import Tensor

from venation.data.dataset import Batch
from venation.data.loader import Loader
from venation.data.manifest import Manifest
from venation.models.network import MultitaskNetwork
from venation.trials.losses import task_loss
from venation.trials.optimise import learning_rate, precision_dtype, seed_epoch, set_learning_rate


def plain_fit(case: Case, manifest: Manifest) -> Iterator[float]:
    """Yield the mean training loss of every epoch; each epoch ends with a validation."""
    network = build(case)
    train, val = (loader(manifest, train=part, cache_bytes=0) for part in (True, False))
    optimizer = _optimizer(network, case)
    network.requires_grad_()
    for epoch in range(CONFIG.epochs):
        seed_epoch(CONFIG.seed, epoch)
        train.set_epoch(epoch)
        switch_to_training(network, case)
        total = 0.0
        for step, batch in enumerate(train, start=epoch * len(train)):
            set_learning_rate(optimizer, learning_rate(step, steps_per_epoch=len(train), config=CONFIG))
            network.zero_grad()
            loss = plain_loss(network, to_gpu(batch), case)
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item() * len(batch.label_B)
        _validate(network, val, case)
        yield total / len(train.dataset)


def switch_to_training(network: MultitaskNetwork, case: Case) -> None:
    """Set training mode as `fit` does; under a decoder the base stays in eval mode."""
    network.train(case.task == "classify")
    if network.decoder is not None:
        network.decoder.train()


def plain_loss(network: MultitaskNetwork, batch: Batch, case: Case) -> Tensor:
    """Return the loss, with a graph through the whole network."""
    dtype = precision_dtype(CONFIG, DEVICE)
    with torch.autocast(DEVICE.type, dtype=dtype, enabled=dtype is not None):
        output = network(batch.image_BCHW, segment=case.task == "segment")
    return task_loss(output, batch, CONFIG, task=case.task, epoch=0).total


def to_gpu(batch: Batch) -> Batch:
    """Copy the batch to the device from unpinned memory."""
    return Batch(*(part.to(DEVICE) for part in batch))


def _optimizer(network: MultitaskNetwork, case: Case) -> torch.optim.Optimizer:
    """Build AdamW as `fit` does, for the parameters that `fit` trains."""
    part = network if case.task == "classify" else network.decoder
    assert part is not None
    parameters = [parameter for parameter in part.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": CONFIG.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, CONFIG.lr, foreach=False, fused=False)


def _validate(network: MultitaskNetwork, val: Loader, case: Case) -> None:
    network.eval()
    with torch.no_grad():
        for batch in val:
            plain_loss(network, to_gpu(batch), case).item()
