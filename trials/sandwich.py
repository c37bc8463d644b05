"""The training of a supernet: epochs in, results out, resumable after every one of them, as a fit of one network."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..data.dataset import Batch, Loader
from ..errors import DataError, UsageError
from .checkpoint import load_weights
from .config import TrainConfig
from .epochs import keep_if_best, train_epoch
from .errors import TrialFailed, is_out_of_memory
from .evaluate import evaluate
from .fit_state import EpochResult, FitState, fit_identity, resume_fit, save_fit
from .optimise import build_optimizer
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
    on a CPU. An epoch that runs out of memory ends it; none starts again with fewer images at a time, as ``fit``'s do.

    Raises TrialFailed with cause ``nan`` or ``oom``; UsageError for an unknown ``monitor``, and for one image at a time
    where BatchNorm needs more; UserError for a checkpoint that does not fit; DataError if a part of the data is empty.
    """
    if len(train_loader) == 0:
        raise DataError("the training part has no images: give it some, or change the split")
    state = _prepare(supernet, config, f"supernet {monitor} {len(train_loader)}", device)
    if checkpoint is not None and checkpoint.exists():
        resume_fit(state, checkpoint)

    def gradients(batch: Batch, group: int) -> dict[str, Tensor]:
        return supernet.add_gradients(batch, config, group=group)

    for epoch in range(len(state.results), config.epochs):
        started = time.monotonic()
        try:
            losses = train_epoch(state, train_loader, epoch, gradients)
            metrics = evaluate(supernet.network, val_loader, device=device, task="segment")
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            advice = "lower train.micro_batch, train.batch_size or data.size"
            raise TrialFailed("oom", f"out of memory in epoch {epoch}: {advice}") from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            name = "micro_batch" if config.micro_batch else "batch_size"
            message = f"a batch of one image leaves BatchNorm one value a channel: raise train.{name}"
            raise UsageError(message) from error
        best = keep_if_best(state, metrics, monitor, epoch)
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
