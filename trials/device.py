"""Which device a network runs on, and how a batch gets there."""

import torch

from ..data.dataset import Batch
from ..errors import UsageError


def choose_device(name: str) -> torch.device:
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``; UsageError if it is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise UsageError(f"device `{name}` is not understood; write auto, cpu, cuda or cuda:N.")
    there = torch.cuda.device_count()
    if kind == "cuda" and int(index or 0) >= there:
        raise UsageError(f"device `{name}` is not on this machine, which has {there} GPUs; use --device auto or cpu.")
    return torch.device(name)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on ``device``; to a GPU by way of pinned memory.

    Before it copies from ordinary memory CUDA may wait for the work before (CUDA runtime API, synchronization
    behavior), and the host with it, which could prepare the next batch meanwhile.
    """
    if device.type == "cuda":
        batch = Batch(*(part.pin_memory() for part in batch))
    return Batch(*(part.to(device, non_blocking=True) for part in batch))
