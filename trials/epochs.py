"""One epoch of any fit: its steps, what of it may go on, and whether it was the best so far."""

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from ..data.dataset import Batch, Loader
from ..errors import UsageError
from .checkpoint import copy_weights
from .device import to_device
from .errors import TrialFailed
from .fit_state import FitState
from .metrics import MINIMISED
from .optimise import group_size, learning_rate, seed_epoch, set_learning_rate

# Adds a batch's gradients, one ``group``-th of them; returns the detached loss parts.
Gradients = Callable[[Batch, int], dict[str, Tensor]]

# What decides between epochs whose monitored metric is the same, which on small validation parts is most of them.
_TIE_BREAK = {"classify": "logloss", "segment": "bce"}


def train_epoch(state: FitState, loader: Loader, epoch: int, gradients: Gradients) -> dict[str, float]:
    """One pass over the training part; the mean of every loss part, weighted by batch size.

    ``gradients`` is given each batch, on the device, and how many batches make one step of the optimiser with it.
    Raises TrialFailed with cause ``nan``.
    """
    config = state.config
    seed_epoch(config.seed, epoch)
    loader.set_epoch(epoch)
    state.network.train()
    steps = len(loader)
    sums: dict[str, Tensor] = {}
    images = 0
    for step, batch in enumerate(loader):
        rate = learning_rate(epoch * steps + step, steps_per_epoch=steps, config=config)
        set_learning_rate(state.optimizer, rate)
        group = group_size(step, steps=steps, accumulate=config.accumulate)
        if step % config.accumulate == 0:
            state.optimizer.zero_grad(set_to_none=True)
        parts = gradients(to_device(batch, state.device), group)
        if step % config.accumulate == group - 1:
            state.optimizer.step()
        count = len(batch.label_B)
        images += count
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value * count
    losses = {name: float(value) / images for name, value in sums.items()}
    _check_finite(losses, epoch, "training")
    return losses


def keep_if_best(state: FitState, metrics: dict[str, float], monitor: str, epoch: int) -> bool:
    """Keep the weights if no epoch before was as good; whether they were kept.

    Raises UsageError for an unknown ``monitor``, TrialFailed with cause ``nan``.
    """
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


def _check_finite(values: Mapping[str, float], epoch: int, where: str) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            message = f"{where} {name} became {value} in epoch {epoch}: lower train.lr or use train.precision=fp32"
            raise TrialFailed("nan", message)
