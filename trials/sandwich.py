"""The training of a supernet: epochs in, results out, resumable after every one of them, as a fit of one network."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Batch, Loader
from ..errors import DataError
from .epochs import run_epochs
from .fit_state import EpochResult, FitState, fit_identity
from .optimise import build_optimizer
from .supernet import Supernet
from .trial_config import TrainConfig


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
    on a CPU. An epoch that runs out of memory starts again with fewer images at a time, as ``fit``'s do.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``, and for one image at a time
    where BatchNorm needs more; UserError for a checkpoint that does not fit; DataError if a part of the data is empty.
    """
    if len(train_loader) == 0:
        raise DataError("the training part has no images: give it some, or change the split")
    state = _prepare(supernet, config, f"supernet {monitor} {len(train_loader)}", device)

    def gradients(batch: Batch, group: int, size: int) -> dict[str, Tensor]:
        return supernet.add_gradients(batch, config, group=group, size=size)

    yield from run_epochs(state, train_loader, val_loader, gradients, monitor=monitor, checkpoint=checkpoint)


def _prepare(supernet: Supernet, config: TrainConfig, rest: str, device: torch.device) -> FitState:
    network, decoder = supernet.network, supernet.decoder
    network.freeze_base()
    slices = " ".join(each.model_dump_json() for each in supernet.configs)
    identity = fit_identity(network, config, f"{rest} {slices}", trained=decoder)
    optimizer = build_optimizer(decoder, config, device)
    return FitState(network, decoder, optimizer, config, "segment", device, identity, config.micro_batch)
