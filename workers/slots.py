"""Slots for worker processes on one machine: one or several on each GPU, or on the CPU."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import UsageError


@dataclass(frozen=True)
class Slot:
    """A slot for a worker: the prefix of its log lines, its environment variables and arguments."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def visible_gpus() -> list[str]:
    """Return the GPUs of this process, by their names in ``CUDA_VISIBLE_DEVICES`` or by number."""
    import torch

    number = torch.cuda.device_count()
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return given[:number] if given else [str(index) for index in range(number)]


def plan_slots(gpus: str | None, available: Sequence[str], *, each: int = 1, together: int = 1) -> list[Slot]:
    """Return ``each`` slots for every GPU in ``gpus``, or ``each`` slots on the CPU if it is None.

    ``gpus`` is ``all``, or names from ``available`` with commas. With ``together``, a slot has that
    many GPUs, or so many processes share its part of the CPU. Raises UsageError for a GPU that is
    not available or is named twice, and for GPUs that do not divide into such slots.
    """
    if gpus is None:
        # Otherwise each of several processes would use all cores.
        threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // (each * together)))
        return [Slot(f"slot {index}", {"OMP_NUM_THREADS": threads}) for index in range(each)]
    if not available:
        raise UsageError("--gpus: CUDA shows no GPU on this machine; give --slots N for workers on the CPU.")
    wanted = list(available) if gpus == "all" else [name.strip() for name in gpus.split(",")]
    for name in wanted:
        if name not in available or wanted.count(name) > 1:
            flaw = "is named twice" if name in available else "is not on this machine"
            raise UsageError(f"--gpus: GPU `{name}` {flaw}; give all, or some of {','.join(available)}.")
    if len(wanted) % together:
        raise UsageError(
            f"--gpus: {len(wanted)} GPUs do not divide into workers with {together} each (--gpus-per-trial);"
            f" name a multiple of {together}."
        )
    groups = [",".join(wanted[start : start + together]) for start in range(0, len(wanted), together)]
    return [_gpu_slot(name, index, each) for name in groups for index in range(each)]


def with_ports(slots: Sequence[Slot], first: int) -> list[Slot]:
    """Return the slots with a metrics port for each, counted from ``first``."""
    ports = range(first, first + len(slots))
    return [
        replace(slot, arguments=(*slot.arguments, "--metrics-port", str(port)))
        for slot, port in zip(slots, ports, strict=True)
    ]


def _gpu_slot(name: str, index: int, each: int) -> Slot:
    title = f"gpu {name}" if each == 1 else f"gpu {name}.{index}"
    return Slot(title, {"CUDA_VISIBLE_DEVICES": name}, ("--device", "cuda"))
