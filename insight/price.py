"""Measure the seconds and the memory of training in a few steps on real images."""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.dataset import Batch, LeafDataset
from ..data.loader import Loader, make_loader
from ..data.manifest import Sample, evenly_spaced
from ..models.network import MultitaskNetwork
from ..trials.device import to_device
from ..trials.evaluate import evaluate
from ..trials.kinds import Task, single_tasks
from ..trials.losses import task_loss
from ..trials.micro_batch import split_batch
from ..trials.optimise import precision_dtype
from ..trials.train import fit
from ..trials.trial_config import TrainConfig

STEPS = 3
# The measurement needs no learning, and a learning rate near zero cannot end in NaN.
_TINY_LR = 1e-12


@dataclass(frozen=True)
class Price:
    """Seconds of one epoch with validation, and bytes of memory (estimated on a CPU)."""

    epoch_seconds: float
    memory_bytes: int
    memory_measured: bool


def measure(
    network: MultitaskNetwork,
    train: LeafDataset,
    val: LeafDataset,
    classes: Sequence[str],
    config: TrainConfig,
    *,
    task: Task,
    device: torch.device,
    processes: int = 1,
) -> Price:
    """Return the price of an epoch, from three training steps and one validation batch.

    The real loop runs twice on images spread over ``train`` and ``val``; the first time warms up
    and does not count. Seconds grow with the number of images, except for the checkpoint, which is
    written once per epoch. The time to decode images that do not fit into the loader's cache is
    added. If memory runs out with whole batches, the price is that of the micro-batch that ``fit``
    continues with. The weights of ``network`` hardly change; its frozen parameters are those of the
    task. With several ``processes``, one trains its share of every batch: the exchange of gradients
    is not measured. Raises the errors of ``fit``, such as TrialFailed with cause ``oom``.
    """
    share = math.ceil(config.batch_size / processes)
    config = config.model_copy(
        update={"batch_size": share, "epochs": 2, "lr": _TINY_LR, "patience": 0, "head_start": "random"}
    )
    masked = "segment" in single_tasks(task)
    few = _subset(train, classes, STEPS * config.batch_size, config, train=True, masked=masked)
    few_val = _subset(val, classes, config.batch_size, config, train=False, masked=masked)
    decode = _seconds(lambda: list(few.dataset.fitted_batches([range(len(few.dataset))]))) / len(few.dataset)
    monitor = "iou" if task == "segment" else "accuracy"
    with tempfile.TemporaryDirectory(prefix="venation-") as scratch:
        path = Path(scratch) / "checkpoint.safetensors"
        epochs = fit(network, few, few_val, config, task=task, device=device, monitor=monitor, checkpoint=path)
        results = [next(epochs)]
        if device.type == "cuda":
            # Reset after the first epoch, which may have restarted with a smaller micro-batch.
            torch.cuda.reset_peak_memory_stats(device)
        took = _seconds(lambda: results.append(next(epochs)))
        seconds = results[-1].seconds
    checked = _seconds(lambda: evaluate(network, few_val, device=device, task=task))
    trained = max(seconds - checked, 0.0) * len(train) / len(few.dataset) / processes
    seconds = (took - seconds) + trained + checked * len(val) / len(few_val.dataset)
    seconds += decode * (_uncached(few.dataset, train) / processes + _uncached(few_val.dataset, val))
    if device.type == "cuda":
        return Price(seconds, torch.cuda.max_memory_allocated(device), memory_measured=True)
    batch = next(split_batch(next(iter(few)), results[-1].micro_batch))
    memory = weight_bytes(network, config) + _activation_bytes(network, batch, config, task, device)
    return Price(seconds, memory, memory_measured=False)


def weight_bytes(network: nn.Module, config: TrainConfig) -> int:
    """Return the bytes of weights, their average, gradients and moments.

    AdamW has two moments, SGD with momentum one.
    """
    moments = 2 if config.optimizer == "adamw" else int(config.momentum > 0)
    buffers = sum(map(_bytes, network.buffers()))
    trained = sum(_bytes(parameter) for parameter in network.parameters() if parameter.requires_grad)
    copies = bool(config.ema) + (config.wise_ft is True)
    average = copies * (trained + buffers)
    return sum(map(_bytes, network.parameters())) + buffers + average + (1 + moments) * trained


def kept_bytes(network: nn.Module, forward: Callable[[], object]) -> int:
    """Return the bytes that ``forward`` keeps for its backward pass, except ``network``'s weights.

    Tensors that share memory count once. Temporary tensors of the backward pass and of recomputing
    layers do not count.
    """
    own = {_address(tensor) for tensor in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if _address(tensor) not in own:
            kept[_address(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        # Keep the result alive until all is counted: a freed tensor's address could be reused.
        result = forward()
    del result
    return sum(kept.values())


def _activation_bytes(
    network: MultitaskNetwork, batch: Batch, config: TrainConfig, task: Task, device: torch.device
) -> int:
    batch = to_device(batch, device)
    dtype = precision_dtype(config, device)

    def forward() -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            output = network(batch.image_BCHW, segment="segment" in single_tasks(task))
        return task_loss(output, batch, config, task=task, epoch=0).total

    network.train()
    return kept_bytes(network, forward) + sum(_bytes(part) for part in batch)


def _subset(
    dataset: LeafDataset, classes: Sequence[str], count: int, config: TrainConfig, *, train: bool, masked: bool
) -> Loader:
    samples: Sequence[Sample] = dataset.images
    if masked:
        samples = [sample for sample in samples if sample.mask is not None] or samples
    # An image may give several examples.
    count = math.ceil(count * len(dataset.images) / len(dataset))
    # The cache is unlimited here, because decoding is measured separately.
    few = LeafDataset(evenly_spaced(samples, count), classes, dataset.config, train=train, cache_bytes=sys.maxsize)
    return make_loader(few, batch_size=config.batch_size, train=train, seed=config.seed)


def _uncached(few: LeafDataset, dataset: LeafDataset) -> float:
    """Estimate the number of images beyond the cache from the size of the few cached ones."""
    return max(0.0, len(dataset) - dataset.cache_bytes * len(few) / few.cached_bytes)


def _seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
