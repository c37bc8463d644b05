"""Workers of `venation worker` in other processes: a fleet on this machine, or jobs of Slurm."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import UsageError
from .process_group import ProcessGroup

if TYPE_CHECKING:
    from ..workers.slurm_options import SlurmOptions

_JOBS = Path("venation-jobs")


@dataclass(frozen=True)
class WorkerCommand:
    """The options of `venation worker run` that every process of a fleet or of a job gets."""

    studies: Sequence[str]
    data: Path | None
    max_trials: int | None
    max_retries: int
    drain: float
    until_idle: bool
    metrics_host: str
    group: ProcessGroup

    def words(self, **options: object) -> list[str]:
        """Return the arguments of the command and of ``options`` that are not None."""
        values = {
            "data": self.data,
            "max_trials": self.max_trials,
            "max_retries": self.max_retries,
            "drain": self.drain,
            "metrics_host": self.metrics_host,
        }
        pairs = [(f"--{name.replace('_', '-')}", value) for name, value in (values | options).items()]
        words = [str(word) for option, value in pairs if value is not None for word in (option, value)]
        return [*self.studies, *words, *self.group.words(), *(["--until-idle"] if self.until_idle else [])]


def export_urls(storage: str | None, artifacts: str | None, mlflow: str | None, wandb: str | None) -> None:
    """Pass the URLs to child processes by environment; all users can read command lines."""
    urls = {"STORAGE": storage, "ARTIFACTS": artifacts, "MLFLOW": mlflow, "WANDB": wandb}
    os.environ.update({f"VENATION_{name}": url for name, url in urls.items() if url is not None})


def run_fleet(
    command: WorkerCommand,
    *,
    device: str,
    gpus: str | None,
    slots: int,
    logs: Path | None,
    metrics_port: int | None,
) -> None:
    """Run the command once for each slot, until every process has ended."""
    from ..workers import fleet
    from ..workers.slots import plan_slots, visible_gpus, with_ports

    planned = plan_slots(gpus, visible_gpus() if gpus is not None else [], each=slots, together=command.group.processes)
    if metrics_port is not None:
        planned = with_ports(planned, metrics_port)
    words = command.words(device=None if gpus is not None else device, parent=os.getpid())
    fleet.run_fleet([sys.executable, "-m", "venation.cli", "worker", "run", *words], planned, logs=logs)


def read_job_options(slurm: str, *, gpus: str | None, device: str, storage: str | None) -> "SlurmOptions":
    """Return the options of ``--slurm``.

    Raises UsageError if they are wrong, if another option chooses devices, or where jobs on other
    machines would find no database.
    """
    from ..workers.slurm_options import read_slurm

    options = read_slurm(slurm)
    if gpus is not None or device != "auto":
        raise UsageError("--slurm chooses the devices: give gpus=N in it (0 for the CPU), and no --gpus or --device.")
    if options.cluster == "slurm" and storage is None:
        raise UsageError(
            "--slurm: jobs on other machines need one PostgreSQL server;"
            " give --storage or VENATION_STORAGE, as postgresql://USER@HOST:5432/DATABASE."
        )
    return options


def submit_jobs(
    command: WorkerCommand, options: "SlurmOptions", *, slots: int | None, logs: Path | None, metrics_port: int | None
) -> None:
    """Submit jobs that run the command until the studies have ended; print their logs."""
    from ..workers.slurm_jobs import describe_jobs, submit_workers

    where = {"gpus": "all"} if options.gpus else {"device": "cpu"}
    words = replace(command, until_idle=True).words(**where, slots=slots or 1, metrics_port=metrics_port)
    jobs = submit_workers(words, options, folder=logs or _JOBS, drain=command.drain)
    for job in describe_jobs(jobs):
        typer.echo(f"job {job.id}: {job.log}")
    typer.echo("next: venation worker list", err=True)
