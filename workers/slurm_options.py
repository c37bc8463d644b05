"""Read the value of `venation worker --slurm`: what every job asks of the cluster."""

import re
from dataclasses import dataclass, fields

from ..errors import UsageError

# Names that reach the header of the batch script, where a space or a line break would end them.
_NAME = re.compile(r"[\w.:&|*-]+")
_WHOLE = {"jobs": (1, 1000), "gpus": (0, 64), "cpus": (1, 1024), "memory": (1, 8192)}
_HOURS = (0.2, 720.0)  # the shortest leaves the last minutes to the drain
CLUSTERS = ("slurm", "local")


@dataclass(frozen=True)
class SlurmOptions:
    """The resources of each of ``jobs`` equal jobs on one node each.

    ``gpus`` and ``cpus`` count those of a job, ``memory`` is in GB, ``hours`` the time limit before
    which a job is queued again. ``cpus`` and ``memory`` of 0 mean 8 and 32 for each GPU, once
    without a GPU. ``cluster=local`` starts the jobs on this machine, to try them out.
    """

    jobs: int = 1
    gpus: int = 1
    cpus: int = 0
    memory: int = 0
    hours: float = 12.0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    cluster: str = "slurm"

    @property
    def job_cpus(self) -> int:
        """The processors of a job."""
        return self.cpus or 8 * max(1, self.gpus)

    @property
    def job_memory(self) -> int:
        """The memory of a job in GB."""
        return self.memory or 32 * max(1, self.gpus)


def read_slurm(text: str) -> SlurmOptions:
    """Return the options of ``KEY=VALUE,KEY=VALUE``.

    Raises UsageError that names the key, its value and what is allowed.
    """
    keys = [field.name for field in fields(SlurmOptions)]
    given: dict[str, int | float | str] = {}
    for word in text.split(","):
        key, equals, value = (part.strip() for part in word.partition("="))
        if key not in keys:
            raise UsageError(f"--slurm: no key `{key}`; give some of {', '.join(keys)} as KEY=VALUE,KEY=VALUE.")
        if not equals or not value:
            raise UsageError(f"--slurm: `{key}` has no value; give {key}=VALUE.")
        if key in given:
            raise UsageError(f"--slurm: `{key}` is given twice; give it once.")
        given[key] = _value(key, value)
    return SlurmOptions(**given)  # type: ignore[arg-type]


def _value(key: str, text: str) -> int | float | str:
    if key in _WHOLE:
        low, high = _WHOLE[key]
        if not text.isascii() or not text.isdecimal() or not low <= int(text[:9]) <= high:
            raise UsageError(f"--slurm: {key}={text}; give a whole number from {low} to {high}.")
        return int(text)
    if key == "hours":
        return _hours(text)
    if key == "cluster" and text not in CLUSTERS:
        raise UsageError(f"--slurm: cluster={text}; give one of {', '.join(CLUSTERS)}.")
    if not _NAME.fullmatch(text):
        raise UsageError(f"--slurm: {key}={text}; give a name of letters, digits and . : & | * - _.")
    return text


def _hours(text: str) -> float:
    low, high = _HOURS
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not low <= hours <= high:
        raise UsageError(f"--slurm: hours={text}; give hours from {low:g} to {high:g}.")
    return hours
