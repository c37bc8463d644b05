"""The options that let several processes train one network."""

from dataclasses import dataclass
from typing import Self

from ..errors import UsageError

GPUS, PROCESSES = "--gpus-per-trial", "--processes-per-trial"


@dataclass(frozen=True)
class ProcessGroup:
    """The number of processes that train a network together, and the ``option`` that set it."""

    processes: int = 1
    option: str | None = None

    @classmethod
    def of(cls, gpus: int | None, processes: int | None) -> Self:
        """Return the group that one of two options asks for. Raises UsageError for both."""
        if gpus is not None and processes is not None:
            raise UsageError(f"{GPUS} and {PROCESSES} exclude each other: the second one is for the CPU.")
        if gpus is not None:
            return cls(gpus, GPUS)
        return cls() if processes is None else cls(processes, PROCESSES)

    def check(self, device: str) -> str:
        """Return the device of the first process; ``device`` is what the user chose.

        Raises UsageError for GPUs that the machine lacks, and for a device of the other kind.
        """
        if self.option is None:
            return device
        kind = "cuda" if self.option == GPUS else "cpu"
        if device not in ("auto", kind):
            raise UsageError(f"{self.option} {self.processes} chooses the devices; leave --device {device} out.")
        if kind == "cuda":
            import torch

            count = torch.cuda.device_count()
            if self.processes > count:
                raise UsageError(
                    f"{GPUS} {self.processes}: this machine shows {count} GPUs; give at most that,"
                    f" or {PROCESSES} N to train on the CPU."
                )
        return kind

    def check_fleet(self, gpus: str | None, device: str) -> None:
        """Raise UsageError for a ``--gpus`` or a ``--device`` that the workers would refuse."""
        if gpus is None:
            self.check(device)
        elif self.option == PROCESSES:
            raise UsageError(f"{PROCESSES} is for the CPU: leave --gpus {gpus} out, or give {GPUS} N.")

    def check_job(self, gpus: int) -> None:
        """Raise UsageError unless the ``gpus`` of a job of Slurm make whole groups."""
        if self.option == PROCESSES and gpus:
            raise UsageError(f"--slurm: {PROCESSES} is for the CPU: give gpus=0, or {GPUS} N.")
        if self.option == GPUS and (not gpus or gpus % self.processes):
            raise UsageError(f"--slurm: gpus={gpus} are no multiple of {GPUS} {self.processes}; change one of them.")

    def words(self) -> list[str]:
        """Return the option as words of a command."""
        return [] if self.option is None else [self.option, str(self.processes)]
