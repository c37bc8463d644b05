"""The training of a network, one result per epoch, resumable after every epoch."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..data.balance import class_weights
from ..data.dataset import Batch
from ..data.loader import Loader
from ..errors import DataError, UsageError
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from ..models.tuned_encoder import TunedEncoderDecoder
from .checkpoint import read_record
from .distributed import ALONE, Ranks, synchronise_batch_norm
from .epochs import run_epochs
from .fit_state import EpochResult as EpochResult
from .fit_state import FitState, fit_identity
from .head_start import start_head
from .kinds import Task
from .micro_batch import add_gradients
from .mixing import BatchMixer
from .optimise import build_optimizer
from .shared_gradients import SharedGradients
from .task_fields import check_task_fields
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
    ranks: Ranks = ALONE,
) -> Iterator[EpochResult]:
    """Train and yield a result after every epoch; then load the best epoch's weights.

    ``classify`` trains everything but the decoder. ``segment`` freezes encoder, gate and head and
    trains the decoder, and with ``decoder.tune_encoder`` the decoder's copy of the encoder, which
    starts from the frozen one. ``multitask`` trains everything at once. The best epoch is the first
    with the best ``monitor`` on validation (the least for logloss and bce); ties go to the lower
    validation loss. With ``checkpoint`` the state is saved before each yield, and a later call with
    the same arguments resumes after the last saved epoch, bit for bit on a CPU; ``finished_epochs``
    reads the progress. The random numbers of an epoch depend on (seed, epoch) alone and seed
    torch's global generator.

    An epoch that runs out of memory restarts with half the micro-batch, down to one image. The
    smaller micro-batch stays, also after a resume.

    With several ``ranks``, this process is one of a group that trains the network together: call it
    in each with equal arguments. Rank 0 alone validates and writes the checkpoint; the others yield
    results without metrics.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``;
    UserError for a checkpoint that does not fit; DataError for an empty split.
    """
    check_task_fields(config, task)
    started = checkpoint is not None and checkpoint.exists()
    state = _prepare(
        network, train_loader, config, task=task, device=device, monitor=monitor, started=started, ranks=ranks
    )
    mix = BatchMixer(config, network.num_classes)
    weight_N = None
    if config.balance == "weights":
        weight_N = class_weights(train_loader.dataset.labels, network.num_classes).to(device)

    def gradients(batch: Batch, group: int, size: int) -> dict[str, Tensor]:
        # The current epoch, also in a retry: a result is appended when its epoch has ended.
        epoch = len(state.results)
        return add_gradients(
            network, mix(batch), config, task=task, epoch=epoch, group=group, size=size, class_weight_N=weight_N
        )

    if ranks.world > 1:
        gradients = SharedGradients(state, train_loader, mix, weight_N)
    yield from run_epochs(state, train_loader, val_loader, gradients, monitor=monitor, checkpoint=checkpoint)


def finished_epochs(checkpoint: Path) -> list[EpochResult]:
    """Return the results of a checkpoint's epochs without reading its weights.

    After a kill between save and yield, the list has one epoch more than the caller received.
    """
    return [EpochResult(**result) for result in read_record(checkpoint)["results"]]


def _prepare(
    network: MultitaskNetwork,
    loader: Loader,
    config: TrainConfig,
    *,
    task: Task,
    device: torch.device,
    monitor: str,
    started: bool,
    ranks: Ranks,
) -> FitState:
    if len(loader) == 0:
        raise DataError("the training split has no images: add images or change the split")
    place(network, device)
    tuned = network.encoder
    if task != "classify" and network.decoder is None:
        raise UsageError("the network has no decoder to train: set decoder.kind, say to mnsa")
    if task == "segment":
        network.freeze_base()
        if isinstance(network.decoder, TunedEncoderDecoder):
            network.decoder.start_from(network.encoder)
            tuned = network.decoder.encoder
    if config.frozen_bn is True:
        tuned.freeze_statistics()
    if config.head_start == "probe" and not started:
        start_head(network, loader.dataset, device)
    trained = network.decoder if task == "segment" else network
    assert trained is not None
    if ranks.world > 1 and device.type == "cuda":
        synchronise_batch_norm(trained)
    optimizer = build_optimizer(trained, config, device)
    identity = fit_identity(network, config, f"{task} {monitor} {len(loader)}", trained=trained)
    return FitState(network, trained, optimizer, config, task, device, identity, config.micro_batch, ranks)
