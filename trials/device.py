"""Choose the device of a network and move batches to it."""

import torch
from torch import Tensor

from ..data.dataset import Batch
from ..errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device that ``name`` selects: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is a GPU if there is one. Raises UsageError if the device is not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"device `{name}` is unknown; write auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count()
    if kind == "cuda" and int(index or 0) >= count:
        raise UsageError(f"device `{name}` is not on this machine, which has {count} GPUs; use --device auto or cpu.")
    return torch.device(name)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on ``device``; transfers to a GPU go through pinned memory.

    CUDA may wait for earlier work before it copies from pageable memory (CUDA runtime API,
    synchronization behavior). The host would wait too, instead of preparing the next batch.
    """
    if device.type == "cuda":
        batch = batch.map(Tensor.pin_memory)
    return batch.map(lambda part: part.to(device, non_blocking=True))
