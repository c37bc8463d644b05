"""`venation worker`: run trials, list workers, return the trials of dead workers."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..data.progress import listening
from ..errors import UsageError
from ..wording import counted
from .bars import LinePrinter, on_terminal
from .groups import DefaultGroup, examples, new_group
from .process_group import ProcessGroup
from .shared import (
    ArtifactsUrl,
    AsJson,
    DataOverride,
    Device,
    StorageUrl,
    StudyNames,
    open_database,
    open_named_study,
    open_to_write,
    print_result,
)
from .tracking import MlflowUri, WandbProject, tracked_trials
from .worker_processes import WorkerCommand, export_urls, read_job_options, run_fleet, submit_jobs

if TYPE_CHECKING:
    from ..search.handle import StudyHandle
    from ..studies.context import StudyContext

app = new_group(
    "Run trials of the studies; the same command on every machine."
    "\n\n`venation worker STUDY...` is short for `venation worker run STUDY...`; a study that is called `run`, `list`"
    " or `reap` needs the long form.",
    cls=DefaultGroup,
    epilog=examples(
        "worker soy --until-idle",
        "worker soy soy-veins soy-boost --gpus all",
        "worker list",
    ),
)


@app.command("run")
def worker_run(
    studies: StudyNames,
    device: Device = "auto",
    gpus: Annotated[
        str | None, typer.Option(metavar="all|0,2,3", help="Start worker processes on each of these GPUs.")
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Number of worker processes to start here, or on each GPU of --gpus [default: 1]."),
    ] = None,
    gpus_per_trial: Annotated[
        int | None, typer.Option(min=2, help="Train each network on this many GPUs together [default: one].")
    ] = None,
    processes_per_trial: Annotated[
        int | None, typer.Option(min=2, max=64, help="The same on the CPU, with processes [default: one].")
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option(
            help="Folder for one log file for each process of --gpus or --slots, or for the jobs of --slurm"
            " [default: none; venation-jobs for --slurm]."
        ),
    ] = None,
    slurm: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=VALUE,...",
            help="Submit workers as jobs of Slurm: jobs, gpus, cpus, memory (GB) and hours of each, partition, account,"
            " qos, constraint.",
        ),
    ] = None,
    data: DataOverride = None,
    max_trials: Annotated[
        int | None, typer.Option(min=1, help="Stop each process after this many trials [default: no limit].")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when every study has ended, not only on a signal.")
    ] = False,
    max_retries: Annotated[
        int, typer.Option(min=0, help="How often a trial is retried after its worker died at the same epoch.")
    ] = 3,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds after SIGTERM in which the running epoch may finish.")
    ] = 25.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Serve Prometheus metrics on this port, each further process on the next port [default: none].",
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(help="Address of the metrics, which have no login: keep it private.")
    ] = "127.0.0.1",
    parent: Annotated[int | None, typer.Option(hidden=True, help="Stop when the process of this id is gone.")] = None,
    mlflow: MlflowUri = None,
    wandb: WandbProject = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Run trials of the studies; the same command on every machine."""
    from ..workers.fleet import stop_with_parent
    from ..workers.signals import exit_on_signal

    with exit_on_signal() as early:
        if parent is not None:
            stop_with_parent(parent)
        group = ProcessGroup.of(gpus_per_trial, processes_per_trial)
        command = WorkerCommand(studies, data, max_trials, max_retries, drain, until_idle, metrics_host, group)
        if slurm is not None:
            wanted = read_job_options(slurm, gpus=gpus, device=device, storage=storage)
            group.check_job(wanted.gpus)
            export_urls(storage, artifacts, mlflow, wandb)
            for name in studies:
                open_named_study(storage, name)
            submit_jobs(command, wanted, slots=slots, logs=logs, metrics_port=metrics_port)
            return
        if gpus is not None or slots is not None:
            if gpus is not None and device != "auto":
                raise UsageError(f"--gpus chooses the device of each worker; leave --device {device} out.")
            group.check_fleet(gpus, device)
            export_urls(storage, artifacts, mlflow, wandb)
            run_fleet(command, device=device, gpus=gpus, slots=slots or 1, logs=logs, metrics_port=metrics_port)
            _print_results([open_named_study(storage, name) for name in studies])
            return
        if logs is not None:
            raise UsageError("--logs is for the processes of --gpus or --slots; this one logs to standard error.")
        device = group.check(device)
        contexts = _open_contexts(studies, storage, artifacts, device=device, data=data, processes=group.processes)
        if metrics_port is not None:
            _serve_own_metrics(metrics_host, metrics_port)
        if not early.is_set():
            options = {"max_trials": max_trials, "max_losses": max_retries, "until_idle": until_idle, "drain": drain}
            with tracked_trials(mlflow, wandb):
                _work(contexts, alone=parent is None, **options)
    if early.is_set():
        typer.echo("stopped before the first trial", err=True)


@app.command("list")
def worker_list(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the workers of all machines: busy, idle, or silent for longer than the grace period."""
    from ..workers.worker_status import list_workers

    rows = list_workers(open_database(storage))
    print_result(rows, as_json)
    if not rows:
        typer.echo("no worker is alive; `venation worker STUDY` starts one", err=True)


@app.command("reap")
def worker_reap(
    once: Annotated[bool, typer.Option("--once", help="Check once and exit.")] = False,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two checks.")] = 30.0,
    max_retries: Annotated[
        int, typer.Option(min=0, help="How often a trial is retried after its worker died at the same epoch.")
    ] = 3,
    storage: StorageUrl = None,
) -> None:
    """Return the trials of dead workers to the queue, in all studies, until stopped."""
    from ..upkeep.doctor import check_rights
    from ..upkeep.reap_all import reap_forever, reap_once

    database = open_database(storage)
    check_rights(database)
    if not once:
        reap_forever(database, interval=interval, max_losses=max_retries)
        return
    for study, numbers in reap_once(database, max_losses=max_retries).items():
        typer.echo(f"{study}: {' '.join(map(str, numbers))}")


def _open_contexts(
    studies: Sequence[str],
    storage: str | None,
    artifacts: str | None,
    *,
    device: str,
    data: Path | None,
    processes: int,
) -> "list[StudyContext]":
    """Open everything that the first trial needs, so that errors surface before it starts."""
    from ..studies.context import open_context
    from ..studies.registry import open_study
    from ..trials.device import choose_device
    from ..workers.scratch import clear_scratch
    from ..workers.worker_status import session_name

    chosen = choose_device(device)
    database, store = open_to_write(storage, artifacts, session=session_name(chosen.type, chosen.index))
    clear_scratch()
    given: dict[str, Any] = {"device": device, "data": data, "processes": processes}
    return [open_context(open_study(database, name), store, **given) for name in studies]


def _work(contexts: "Sequence[StudyContext]", *, alone: bool, **options: Any) -> None:
    """Run trials, shown live on a terminal; ``alone`` says that no fleet prints the results."""
    from ..workers.worker import work

    handles = [context.handle for context in contexts]
    if alone and on_terminal():
        from .live_worker import live_worker

        with live_worker(handles):
            ended = work(contexts, **options)
    else:
        with listening(LinePrinter()):
            ended = work(contexts, **options)
    typer.echo(f"{counted(ended, 'trial')} ended", err=True)
    if alone:
        _print_results(handles)


def _print_results(handles: "Sequence[StudyHandle]") -> None:
    """Print the progress and the best trial of each study, and the next commands."""
    from ..leases.lease import DATABASE_ERRORS
    from ..studies.summary import describe_best, next_commands, progress

    # The work is done: a study that was deleted, or a database that is away, changes nothing.
    with suppress(KeyError, *DATABASE_ERRORS):
        for handle in handles:
            best = describe_best(handle)
            shown = progress(handle) if best is None else f"{progress(handle)}; best {best}"
            typer.echo(f"study {handle.study.study_name}: {shown}", err=True)
        for command in next_commands(handles):
            typer.echo(f"next: {command}", err=True)


def _serve_own_metrics(host: str, port: int) -> None:
    from ..upkeep.prometheus import serve_registry
    from ..workers.worker_metrics import REGISTRY

    serve_registry(REGISTRY, host=host, port=port)
