"""The training of a supernet: epochs in, results out, resumable after every one of them, as a fit of one network."""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Loader
from ..errors import DataError, UsageError
from .checkpoint import copy_weights, load_weights
from .config import TrainConfig
from .device import to_device
from .errors import TrialFailed, is_out_of_memory
from .evaluate import evaluate
from .fit_state import EpochResult, FitState, fit_identity, resume_fit, save_fit
from .metrics import MINIMISED
from .optimise import build_optimizer, group_size, learning_rate, seed_epoch, set_learning_rate
from .supernet import Supernet


def fit_supernet(
    supernet: Supernet,
    train_loader: Loader,
    val_loader: Loader,
    config: TrainConfig,
    *,
    device: torch.device,
    monitor: str,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train the slices of a supernet together, and yield after every epoch, as ``fit`` does one decoder.

    Metrics are the widest slice's, the network's own; losses are means over the slices of a step. At the end the
    network holds the weights of the epoch in which the widest was best by ``monitor``; among equals, by the lower
    ``bce``. Encoder, gate and head are frozen. With ``checkpoint`` it goes on after the last saved epoch, bit for bit
    on a CPU. Batches go through whole: ``train.micro_batch`` is not looked at.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``; UserError for a checkpoint
    that does not fit; DataError if a part of the data is empty.
    """
    if len(train_loader) == 0:
        raise DataError("the training part has no images: give it some, or change the split")
    state = _prepare(supernet, config, f"supernet {monitor} {len(train_loader)}", device)
    if checkpoint is not None and checkpoint.exists():
        resume_fit(state, checkpoint)
    for epoch in range(len(state.results), config.epochs):
        started = time.monotonic()
        try:
            losses = _train_epoch(supernet, state, train_loader, epoch)
            metrics = evaluate(supernet.network, val_loader, device=device, task="segment")
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            advice = "lower train.batch_size or data.size"
            raise TrialFailed("oom", f"out of memory in epoch {epoch}: {advice}") from error
        best = _keep_if_best(state, metrics, monitor, epoch)
        state.results.append(EpochResult(epoch, losses, metrics, time.monotonic() - started, best))
        if checkpoint is not None:
            save_fit(state, checkpoint)
        yield state.results[-1]
    load_weights(supernet.decoder, state.best_weights, source="the best epoch")


def _prepare(supernet: Supernet, config: TrainConfig, rest: str, device: torch.device) -> FitState:
    network, decoder = supernet.network, supernet.decoder
    network.freeze_base()
    slices = " ".join(each.model_dump_json() for each in supernet.configs)
    identity = fit_identity(network, config, f"{rest} {slices}", trained=decoder)
    optimizer = build_optimizer(decoder, config, device)
    return FitState(network, decoder, optimizer, config, "segment", device, identity, micro_batch=0)


def _train_epoch(supernet: Supernet, state: FitState, loader: Loader, epoch: int) -> dict[str, float]:
    """One pass over the training part; the mean of every loss part, weighted by batch size."""
    config = state.config
    seed_epoch(config.seed, epoch)
    loader.set_epoch(epoch)
    supernet.network.train()
    steps = len(loader)
    sums: dict[str, Tensor] = {}
    images = 0
    for step, batch in enumerate(loader):
        rate = learning_rate(epoch * steps + step, steps_per_epoch=steps, config=config)
        set_learning_rate(state.optimizer, rate)
        group = group_size(step, steps=steps, accumulate=config.accumulate)
        if step % config.accumulate == 0:
            state.optimizer.zero_grad(set_to_none=True)
        parts = supernet.add_gradients(to_device(batch, state.device), config, group=group)
        if step % config.accumulate == group - 1:
            state.optimizer.step()
        images += len(batch.label_B)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value * len(batch.label_B)
    losses = {name: float(value) / images for name, value in sums.items()}
    _check_finite(losses, epoch, "training")
    return losses


def _check_finite(values: Mapping[str, float], epoch: int, where: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            message = f"{where} {name} became {value} in epoch {epoch}: lower train.lr or use train.precision=fp32"
            raise TrialFailed("nan", message)


def _keep_if_best(state: FitState, metrics: dict[str, float], monitor: str, epoch: int) -> bool:
    if monitor not in metrics:
        raise UsageError(f"`{monitor}` is not a metric of this fit: choose one of {', '.join(metrics)}")
    _check_finite(metrics, epoch, "validation")
    key = ((-1 if monitor in MINIMISED else 1) * metrics[monitor], -metrics["bce"])
    if state.best_key is not None and key <= state.best_key:
        return False
    state.best_key, state.best_weights = key, copy_weights(state.trained)
    return True
