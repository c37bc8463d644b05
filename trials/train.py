"""The training loop: epochs in, results out, resumable after every one of them.

Shapes: B batch.
"""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.dataset import Batch, Loader
from ..errors import DataError, UsageError
from ..models.network import MultitaskNetwork
from .checkpoint import (
    Checkpoint,
    copy_weights,
    load_checkpoint,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    read_record,
    save_checkpoint,
)
from .config import TrainConfig
from .errors import TrialFailed
from .evaluate import evaluate
from .losses import Task, task_loss
from .metrics import MINIMISED
from .optimise import build_optimizer, group_size, learning_rate, precision_dtype, seed_epoch, set_learning_rate

# What decides between epochs whose monitored metric is the same, which on small validation parts is most of them.
_TIE_BREAK = {"classify": "logloss", "segment": "bce"}


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch, counted from 0: mean training losses by part, validation metrics, wall-clock seconds."""

    epoch: int
    losses: dict[str, float]
    metrics: dict[str, float]
    seconds: float
    best: bool


@dataclass
class _Fit:
    """Everything that a fit changes. ``trained`` is the part that moves: the network, or only its decoder."""

    network: MultitaskNetwork
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    config: TrainConfig
    task: Task
    device: torch.device
    identity: str
    results: list[EpochResult] = field(default_factory=list)
    best_key: tuple[float, float] | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)


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

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``; UserError for a checkpoint
    that does not fit; DataError if a part of the data is empty.
    """
    state = _prepare(network, train_loader, config, task=task, device=device, monitor=monitor)
    if checkpoint is not None and checkpoint.exists():
        _resume(state, checkpoint)
    for epoch in range(len(state.results), config.epochs):
        started = time.monotonic()
        try:
            losses = _train_epoch(state, train_loader, epoch)
            metrics = evaluate(network, val_loader, device=device, task=task)
        except RuntimeError as error:
            _raise_if_out_of_memory(error, epoch)
            raise
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                "a batch of one image leaves BatchNorm one value a channel: raise train.batch_size"
            ) from error
        best = _keep_if_best(state, metrics, monitor, epoch)
        state.results.append(EpochResult(epoch, losses, metrics, time.monotonic() - started, best))
        if checkpoint is not None:
            _save(state, checkpoint)
        yield state.results[-1]
    load_weights(state.trained, state.best_weights, source="the best epoch")


def finished_epochs(checkpoint: Path) -> list[EpochResult]:
    """The results of the epochs that a checkpoint has behind it, without reading its weights.

    A fit that was killed between saving and yielding has one more here than its caller ever saw.
    """
    return [EpochResult(**result) for result in read_record(checkpoint)["results"]]


def _prepare(
    network: MultitaskNetwork, loader: Loader, config: TrainConfig, *, task: Task, device: torch.device, monitor: str
) -> _Fit:
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
    identity = _identity(network, config, f"{task} {monitor} {len(loader)}", trained=trained)
    return _Fit(network, trained, optimizer, config, task, device, identity)


def _identity(network: MultitaskNetwork, config: TrainConfig, rest: str, *, trained: nn.Module) -> str:
    """A digest of all that decides a fit besides the images: config, shapes, and the values of what stays frozen."""
    digest = hashlib.sha256(f"{config.model_dump_json()} {rest}".encode())
    for name, tensor in trained.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
    if trained is not network:
        for name, tensor in network.state_dict().items():
            if not name.startswith("decoder."):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _train_epoch(state: _Fit, loader: Loader, epoch: int) -> dict[str, float]:
    """One pass over the training part; the mean of every loss part, weighted by batch size."""
    seed_epoch(state.config.seed, epoch)
    loader.set_epoch(epoch)
    state.network.train()
    steps = len(loader)
    sums: dict[str, Tensor] = {}
    images = 0
    for step, batch in enumerate(loader):
        set_learning_rate(
            state.optimizer, learning_rate(epoch * steps + step, steps_per_epoch=steps, config=state.config)
        )
        group = group_size(step, steps=steps, accumulate=state.config.accumulate)
        if step % state.config.accumulate == 0:
            state.optimizer.zero_grad(set_to_none=True)
        parts = _backward(state, Batch(*(part.to(state.device, non_blocking=True) for part in batch)), epoch, group)
        if step % state.config.accumulate == group - 1:
            state.optimizer.step()
        count = len(batch.label_B)
        images += count
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value * count
    losses = {name: float(value) / images for name, value in sums.items()}
    _check_finite(losses, epoch, "training")
    return losses


def _backward(state: _Fit, batch: Batch, epoch: int, group: int) -> dict[str, Tensor]:
    """Add a batch's gradients, one ``group``-th of them; the detached loss parts and their ``total``."""
    dtype = precision_dtype(state.config, state.device)
    with torch.autocast(state.device.type, dtype=dtype, enabled=dtype is not None):
        output = state.network(batch.image_BCHW, segment=state.task == "segment")
    loss = task_loss(output, batch, state.config, task=state.task, epoch=epoch)
    torch.autograd.backward(loss.total / group)
    return {name: value.detach() for name, value in (loss.parts | {"total": loss.total}).items()}


def _raise_if_out_of_memory(error: RuntimeError, epoch: int) -> None:
    # The CPU's allocator has no exception class of its own.
    if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        message = f"out of memory in epoch {epoch}: lower train.batch_size or data.size"
        raise TrialFailed("oom", message) from error


def _check_finite(values: Mapping[str, float], epoch: int, where: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            message = f"{where} {name} became {value} in epoch {epoch}: lower train.lr or use train.precision=fp32"
            raise TrialFailed("nan", message)


def _keep_if_best(state: _Fit, metrics: dict[str, float], monitor: str, epoch: int) -> bool:
    if monitor not in metrics:
        raise UsageError(f"`{monitor}` is not a metric of this fit: choose one of {', '.join(metrics)}")
    _check_finite(metrics, epoch, "validation")
    sign = -1 if monitor in MINIMISED else 1
    key = (sign * metrics[monitor], -metrics[_TIE_BREAK[state.task]])
    if state.best_key is not None and key <= state.best_key:
        return False
    state.best_key = key
    state.best_weights = copy_weights(state.trained)
    return True


def _save(state: _Fit, path: Path) -> None:
    record = {"results": [asdict(result) for result in state.results], "best_key": state.best_key}
    weights = dict(state.trained.state_dict())
    # Right after the best epoch both are the same: a large decoder's checkpoint is then a third smaller.
    best = {} if state.results[-1].best else state.best_weights
    save_checkpoint(path, Checkpoint(weights, best, optimizer_tensors(state.optimizer), state.identity, record))


def _resume(state: _Fit, path: Path) -> None:
    saved = load_checkpoint(path, identity=state.identity)
    load_weights(state.trained, saved.network, source=f"checkpoint {path}")
    load_optimizer(state.optimizer, saved.optimizer, source=f"checkpoint {path}")
    state.results = [EpochResult(**result) for result in saved.record["results"]]
    value, tie_break = saved.record["best_key"]
    state.best_key = (value, tie_break)
    state.best_weights = saved.best or saved.network
