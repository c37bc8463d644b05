"""The training loop: epochs in, results out, resumable after every one of them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Batch, Loader
from ..errors import DataError, UsageError
from ..models.network import MultitaskNetwork
from .checkpoint import read_record
from .epochs import run_epochs
from .fit_state import EpochResult as EpochResult
from .fit_state import FitState, fit_identity
from .kinds import Task
from .micro_batch import add_gradients
from .optimise import build_optimizer
from .trial_config import TrainConfig


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

    An epoch that runs out of memory starts again with half the micro-batch, down to one image; what fits then stays,
    resumed or not.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``; UserError for a checkpoint
    that does not fit; DataError if a part of the data is empty.
    """
    state = _prepare(network, train_loader, config, task=task, device=device, monitor=monitor)

    def gradients(batch: Batch, group: int, size: int) -> dict[str, Tensor]:
        # The epoch that comes, whichever try it is: results are appended once it has ended.
        epoch = len(state.results)
        return add_gradients(network, batch, config, task=task, epoch=epoch, group=group, size=size)

    yield from run_epochs(state, train_loader, val_loader, gradients, monitor=monitor, checkpoint=checkpoint)


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
