"""Places for workers on one machine: one or several on each GPU, or on the CPU."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import UsageError


@dataclass(frozen=True)
class Slot:
    """A place for a worker: what its lines are headed by, and what its process is given beside ours."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them: numbers, if it is not set."""
    import torch

    number = torch.cuda.device_count()
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return given[:number] if given else [str(index) for index in range(number)]


def plan_slots(gpus: str | None, there: Sequence[str], *, each: int = 1) -> list[Slot]:
    """``each`` slots for every GPU of ``gpus`` (``all`` or names from ``there``, by commas), or without any GPU.

    Raises UsageError for a GPU that is not there, or is named twice.
    """
    if gpus is None:
        # Several on one CPU would each take all of it.
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // each))
        return [Slot(f"slot {index}", {"OMP_NUM_THREADS": threads}) for index in range(each)]
    if not there:
        raise UsageError("--gpus: CUDA shows no GPU on this machine; give --slots N for workers on the CPU.")
    wanted = list(there) if gpus == "all" else [name.strip() for name in gpus.split(",")]
    for name in wanted:
        if name not in there or wanted.count(name) > 1:
            flaw = "is named twice" if name in there else "is not on this machine"
            raise UsageError(f"--gpus: GPU `{name}` {flaw}; give all, or some of {','.join(there)}.")
    return [_gpu_slot(name, index, each) for name in wanted for index in range(each)]


def with_ports(slots: Sequence[Slot], first: int) -> list[Slot]:
    """The slots with a port for the metrics of each, from ``first`` on."""
    ports = range(first, first + len(slots))
    return [
        replace(slot, arguments=(*slot.arguments, "--metrics-port", str(port)))
        for slot, port in zip(slots, ports, strict=True)
    ]


def _gpu_slot(name: str, index: int, each: int) -> Slot:
    title = f"gpu {name}" if each == 1 else f"gpu {name}.{index}"
    return Slot(title, {"CUDA_VISIBLE_DEVICES": name}, ("--device", "cuda"))
