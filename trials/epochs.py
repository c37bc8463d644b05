"""The epoch loop of every fit: train, validate, keep the best weights, save a checkpoint."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Batch
from ..data.loader import Loader
from ..errors import UsageError
from .checkpoint import copy_weights, load_weights
from .device import to_device
from .errors import LessMemory, TrialFailed, is_out_of_memory
from .evaluate import evaluate
from .fit_state import EpochResult, FitState, restore_point, resume_fit, save_fit
from .kinds import TIE_BREAK
from .metrics import MINIMISED
from .optimise import group_size, learning_rate, seed_epoch, set_learning_rate

log = logging.getLogger(__name__)

# Shares of the trained weights in mixes with the first ones. Wortsman et al. (arXiv 2109.01903) use
# a half; which is best depends on how far from the pretrained features the classes are.
_SHARES = (1.0, 0.75, 0.5, 0.25)

# Adds the gradients of a batch, divided by the group size, with a limit on images per pass; returns
# the detached loss parts.
Gradients = Callable[[Batch, int, int], dict[str, Tensor]]


def run_epochs(
    state: FitState,
    train_loader: Loader,
    val_loader: Loader,
    gradients: Gradients,
    *,
    monitor: str,
    checkpoint: Path | None,
) -> Iterator[EpochResult]:
    """Run the remaining epochs and yield the result of each; then load the best weights.

    A fit resumes from ``checkpoint`` if the file exists, and saves to it after every epoch.
    ``gradients`` receives each batch on the device, the number of batches per optimiser step, and
    the most images that may go through the network at once. Raises the errors of ``fit``.
    """
    if checkpoint is not None and checkpoint.exists():
        resume_fit(state, checkpoint)
    ranks = state.ranks
    state.micro_batch = ranks.limit or state.micro_batch
    while not state.ended:
        epoch, started = len(state.results), time.monotonic()
        losses = _train_epoch_within_memory(state, train_loader, epoch, gradients, checkpoint)
        metrics, best = _validate_and_keep(state, val_loader, monitor, epoch) if ranks.main else ({}, False)
        best = ranks.agree(best, state.device)
        seconds = time.monotonic() - started
        state.results.append(EpochResult(epoch, losses, metrics, seconds, best, state.micro_batch))
        state.results[-1] = replace(state.results[-1], last=state.ended)
        if checkpoint is not None and ranks.main:
            save_fit(state, checkpoint)
        yield state.results[-1]
    if ranks.main:
        load_weights(state.trained, state.best_weights, source="the best epoch")


def _train_epoch_within_memory(
    state: FitState, loader: Loader, epoch: int, gradients: Gradients, checkpoint: Path | None
) -> dict[str, float]:
    """Train one epoch and return its mean losses.

    If memory runs out, restart the epoch with half as many images at once; with several processes
    raise LessMemory, because all of them have to restart.
    """
    restore = restore_point(state, checkpoint)
    while True:
        try:
            return _train_epoch(state, loader, epoch, gradients)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            fewer = _half_micro_batch(state, error, epoch)
            if state.ranks.world > 1:
                raise LessMemory(fewer) from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise _batch_norm_error(state, epoch) from error
        # Outside the except block: the traceback keeps the memory of the failed step alive.
        state.optimizer.zero_grad(set_to_none=True)
        restore()
        if state.device.type == "cuda":
            torch.cuda.empty_cache()
        state.micro_batch = fewer
        log.warning("out of memory in epoch %d: retrying with %d images at a time", epoch, fewer)


def _half_micro_batch(state: FitState, error: BaseException, epoch: int) -> int:
    batch = math.ceil(state.config.batch_size / state.ranks.world)
    images = min(state.micro_batch or batch, batch)
    if images == 1:
        raise TrialFailed("oom", f"out of memory in epoch {epoch}, one image at a time: lower data.size") from error
    return (images + 1) // 2


def _batch_norm_error(state: FitState, epoch: int) -> TrialFailed | UsageError:
    """Return the error for a batch in which BatchNorm sees one value per channel.

    If the micro-batch shrank for lack of memory, the trial fails; otherwise the config is wrong.
    """
    cause = "a batch of one image leaves BatchNorm one value a channel"
    if state.micro_batch != state.config.micro_batch:
        return TrialFailed(
            "oom", f"out of memory in epoch {epoch} with more images at a time, and {cause}: lower data.size"
        )
    if state.ranks.world > 1:
        # Of the last batch, which may be smaller than the others.
        return UsageError(
            f"{cause}, here the share of one of {state.ranks.world} processes: raise train.batch_size or data.size, or"
            " start the worker with fewer processes a trial"
        )
    return UsageError(f"{cause}: raise train.{'micro_batch' if state.micro_batch else 'batch_size'}")


def _validate_and_keep(state: FitState, loader: Loader, monitor: str, epoch: int) -> tuple[dict[str, float], bool]:
    """Return the metrics of the epoch's best weights, and whether they are the best of the fit.

    These are the trained weights (or their average) or one of their mixes with those of the start,
    in the first epoch also those of the start: the one of the lowest loss on the validation images.
    Among so many, the best of a score that counts images would be luck.
    """
    shares: tuple[float, ...] = (1.0,)
    if state.start:
        shares = _SHARES if epoch else (*_SHARES, 0.0)
    found = {}
    with state.averaged():
        for share in shares:
            with state.mixed(share):
                found[share] = _validate(state, loader, epoch)
        best = min(found, key=lambda share: _tie_break(state, found[share]))
        with state.mixed(best):
            return found[best], _keep_if_best(state, _rank(state, found[best], monitor, epoch))


def _validate(state: FitState, loader: Loader, epoch: int) -> dict[str, float]:
    try:
        return evaluate(state.network, loader, device=state.device, task=state.task)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrialFailed("oom", f"out of memory in the validation of epoch {epoch}: lower data.size") from error


def _train_epoch(state: FitState, loader: Loader, epoch: int, gradients: Gradients) -> dict[str, float]:
    """Train on the whole training split once and return the mean of each loss part.

    Means are weighted by batch size.
    """
    config = state.config
    seed_epoch(config.seed, epoch)
    loader.set_epoch(epoch)
    state.network.train()
    sizes = loader.sizes
    steps = len(sizes)
    sums: dict[str, Tensor] = {}
    images = 0
    for step, batch in enumerate(loader):
        rate = learning_rate(epoch * steps + step, steps_per_epoch=steps, config=config)
        set_learning_rate(state.optimizer, rate)
        group = group_size(step, steps=steps, accumulate=config.accumulate)
        if step % config.accumulate == 0:
            state.optimizer.zero_grad(set_to_none=True)
        parts = gradients(to_device(batch, state.device), group, state.micro_batch)
        if step % config.accumulate == group - 1:
            state.optimizer.step()
            if state.average is not None:
                state.average.update()
        count = sizes[step]
        images += count
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value * count
    losses = {name: float(value) / images for name, value in sums.items()}
    _check_finite(losses, epoch, "training")
    return losses


def _rank(state: FitState, metrics: dict[str, float], monitor: str, epoch: int) -> tuple[float, float]:
    """Return a key that is larger for better metrics.

    Raises UsageError for an unknown ``monitor`` and TrialFailed with cause ``nan``.
    """
    if monitor not in metrics:
        raise UsageError(f"`{monitor}` is not a metric of this fit: choose one of {', '.join(metrics)}")
    _check_finite(metrics, epoch, "validation")
    sign = -1 if monitor in MINIMISED else 1
    return sign * metrics[monitor], -_tie_break(state, metrics)


def _tie_break(state: FitState, metrics: dict[str, float]) -> float:
    """Return the loss that decides between equal scores; lower is better."""
    return metrics[TIE_BREAK[state.task]]


def _keep_if_best(state: FitState, key: tuple[float, float]) -> bool:
    """Keep the present weights if their key is the best so far; return whether it is."""
    if state.best_key is not None and key <= state.best_key:
        return False
    state.best_key = key
    state.best_weights = copy_weights(state.trained)
    return True


def _check_finite(values: Mapping[str, float], epoch: int, where: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            message = f"{where} {name} became {value} in epoch {epoch}: lower train.lr or use train.precision=fp32"
            raise TrialFailed("nan", message)
