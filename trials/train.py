"""The training loop: epochs in, results out, resumable after every one of them."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Batch, Loader
from ..errors import DataError, UsageError
from ..models.network import MultitaskNetwork
from .checkpoint import load_weights, read_record
from .config import TrainConfig
from .epochs import keep_if_best, train_epoch
from .errors import TrialFailed, is_out_of_memory
from .evaluate import evaluate
from .fit_state import EpochResult as EpochResult
from .fit_state import FitState, fit_identity, resume_fit, save_fit, way_back
from .losses import Task
from .micro_batch import add_gradients
from .optimise import build_optimizer

log = logging.getLogger(__name__)


def fit(
    network: MultitaskNetwork,
    train_loader: Loader,
    val_loader: Loader,
    config: TrainConfig,
    *,
    task: Task,
    device: torch.device,
    monitor: str,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train, and yield after every epoch; at the end the network holds its best epoch's weights.

    ``classify`` trains everything but the decoder; ``segment`` freezes encoder, gate and head and trains the decoder.
    Best is the first epoch with the best ``monitor`` on validation (least for logloss and bce); among equals, the
    lower validation loss. With ``checkpoint`` the state is saved before each yield, and a later call with the same
    arguments goes on after the last saved epoch, bit for bit on a CPU; ``finished_epochs`` tells what was reached.
    An epoch's random numbers depend on (seed, epoch) alone; torch's global generator is seeded with them.

    An epoch that runs out of memory starts again with half the micro-batch, which then stays; once in a fit, resumed
    or not.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``; UserError for a checkpoint
    that does not fit; DataError if a part of the data is empty.
    """
    state = _prepare(network, train_loader, config, task=task, device=device, monitor=monitor)
    if checkpoint is not None and checkpoint.exists():
        resume_fit(state, checkpoint)
    for epoch in range(len(state.results), config.epochs):
        started = time.monotonic()
        losses, metrics = _fitting_epoch(state, train_loader, val_loader, epoch, checkpoint)
        best = keep_if_best(state, metrics, monitor, epoch)
        seconds = time.monotonic() - started
        state.results.append(EpochResult(epoch, losses, metrics, seconds, best, state.micro_batch))
        if checkpoint is not None:
            save_fit(state, checkpoint)
        yield state.results[-1]
    load_weights(state.trained, state.best_weights, source="the best epoch")


def finished_epochs(checkpoint: Path) -> list[EpochResult]:
    """The results of the epochs that a checkpoint has behind it, without reading its weights.

    A fit that was killed between saving and yielding has one more here than its caller ever saw.
    """
    return [EpochResult(**result) for result in read_record(checkpoint)["results"]]


def _prepare(
    network: MultitaskNetwork, loader: Loader, config: TrainConfig, *, task: Task, device: torch.device, monitor: str
) -> FitState:
    if len(loader) == 0:
        raise DataError("the training part has no images: give it some, or change the split")
    network.to(device)
    if task == "segment":
        if network.decoder is None:
            raise UsageError("the network has no decoder to train: set decoder.kind, say to mnsa")
        network.freeze_base()
    trained = network.decoder if task == "segment" else network
    assert trained is not None
    optimizer = build_optimizer(trained, config, device)
    identity = fit_identity(network, config, f"{task} {monitor} {len(loader)}", trained=trained)
    return FitState(network, trained, optimizer, config, task, device, identity, config.micro_batch)


def _fitting_epoch(
    state: FitState, train_loader: Loader, val_loader: Loader, epoch: int, checkpoint: Path | None
) -> tuple[dict[str, float], dict[str, float]]:
    """Losses and metrics of an epoch; from its beginning again, with fewer images at a time, if memory ran out."""
    go_back = way_back(state, checkpoint)
    while True:
        try:
            losses = _train_epoch(state, train_loader, epoch)
            return losses, evaluate(state.network, val_loader, device=state.device, task=state.task)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fewer = _half_micro_batch(state, error, epoch)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            field = "micro_batch" if state.micro_batch else "batch_size"
            message = f"a batch of one image leaves BatchNorm one value a channel: raise train.{field}"
            raise UsageError(message) from error
        # Not while the error is handled: its traceback holds what the failed step had in memory.
        state.optimizer.zero_grad(set_to_none=True)
        go_back()
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        state.micro_batch = fewer
        log.warning("out of memory in epoch %d: once more, with %d images at a time", epoch, fewer)


def _half_micro_batch(state: FitState, error: BaseException, epoch: int) -> int:
    """Half as many images as before; TrialFailed if that was one, or half of what the config says already."""
    batch = state.config.batch_size
    images = min(state.micro_batch or batch, batch)
    if images == 1 or state.micro_batch != state.config.micro_batch:
        message = f"out of memory in epoch {epoch}, {images} at a time: lower train.micro_batch or data.size"
        raise TrialFailed("oom", message) from error
    return (images + 1) // 2


def _train_epoch(state: FitState, loader: Loader, epoch: int) -> dict[str, float]:
    def gradients(batch: Batch, group: int) -> dict[str, Tensor]:
        return add_gradients(
            state.network, batch, state.config, task=state.task, epoch=epoch, group=group, size=state.micro_batch
        )

    return train_epoch(state, loader, epoch, gradients)
