"""`venation demo`, `worker` and `dashboard`: what runs for a while."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .shared import ArtifactsUrl, Device, StorageUrl, StudyNames, open_both, open_to_write

if TYPE_CHECKING:
    from ..studies.context import StudyContext


def demo(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the leaves, the bundle and the predictions.")] = Path(
        "venation-demo"
    ),
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Run the whole main flow on generated leaves: three studies, a bundle, a prediction."""
    from .demo import run_demo

    run_demo(workers=workers, out=out, storage=storage, artifacts=artifacts)


def worker(
    studies: StudyNames,
    device: Device = "auto",
    gpus: Annotated[
        str | None, typer.Option(metavar="all|0,2,3", help="A worker process on each of these GPUs.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="So many worker processes here, or on each GPU.")] = None,
    logs: Annotated[Path | None, typer.Option(help="Folder for a log of each of these processes.")] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Stop after so many trials, each process.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when every study has ended.")] = False,
    max_retries: Annotated[int, typer.Option(min=0, help="Workers that a trial may cost at one epoch.")] = 3,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that a running epoch has when told to stop.")] = 25.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Serve Prometheus metrics there, the next process one port further."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address of the metrics, which have no login.")] = "127.0.0.1",
    parent: Annotated[int | None, typer.Option(hidden=True, help="Stop when this process is gone.")] = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Pull trials of the studies and run them; the same command on every machine."""
    from ..workers.fleet import end_with
    from ..workers.signals import early_stops

    with early_stops() as early:
        if gpus is not None or slots is not None:
            if gpus is not None and device != "auto":
                raise UsageError(f"--gpus chooses the device of each worker; leave --device {device} out.")
            own: dict[str, object] = {"--device": None if gpus is not None else device, "--data": data}
            own |= {
                "--max-trials": max_trials,
                "--max-retries": max_retries,
                "--drain": drain,
                "--metrics-host": metrics_host,
                "--parent": os.getpid(),
            }
            words = [str(word) for option, value in own.items() if value is not None for word in (option, value)]
            _hand_down(storage, artifacts)
            command = [*studies, *words, *(["--until-idle"] if until_idle else [])]
            _run_fleet(command, gpus=gpus, slots=slots or 1, logs=logs, metrics_port=metrics_port)
            return
        if logs is not None:
            raise UsageError("--logs is for the processes of --gpus or --slots; this one logs to standard error.")
        if parent is not None:
            end_with(parent)
        contexts = _open_contexts(studies, storage, artifacts, device=device, data=data)
        if metrics_port is not None:
            _serve_own_metrics(metrics_host, metrics_port)
        if not early.is_set():
            _work(contexts, max_trials=max_trials, max_losses=max_retries, until_idle=until_idle, drain=drain)
    if early.is_set():
        typer.echo("stopped before the first trial", err=True)


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; the dashboard has no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8080,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Serve optuna-dashboard over the studies and the files of their trials."""
    from ..insight.dashboard import serve

    database, store = open_both(storage, artifacts)
    serve(database, store, host=host, port=port)


def _open_contexts(
    studies: Sequence[str], storage: str | None, artifacts: str | None, *, device: str, data: Path | None
) -> "list[StudyContext]":
    """Everything that is to be there before the first trial."""
    from ..studies.context import open_context
    from ..studies.registry import open_study
    from ..trials.device import choose_device
    from ..workers.scratch import clear_scratch
    from ..workers.worker_status import session_name

    chosen = choose_device(device)
    database, store = open_to_write(storage, artifacts, session=session_name(chosen.type, chosen.index))
    clear_scratch()
    return [open_context(open_study(database, name), store, device=device, data=data) for name in studies]


def _work(contexts: "Sequence[StudyContext]", **how: Any) -> None:
    from ..workers.worker import work

    typer.echo(f"{work(contexts, **how)} trials ended", err=True)


def _run_fleet(
    arguments: Sequence[str], *, gpus: str | None, slots: int, logs: Path | None, metrics_port: int | None
) -> None:
    """Run ``venation worker ARGUMENTS`` once a slot."""
    from ..workers.fleet import run_fleet
    from ..workers.slots import plan_slots, visible_gpus, with_ports

    planned = plan_slots(gpus, visible_gpus() if gpus is not None else [], each=slots)
    if metrics_port is not None:
        planned = with_ports(planned, metrics_port)
    run_fleet([sys.executable, "-m", "venation.cli", "worker", *arguments], planned, logs=logs)


def _hand_down(storage: str | None, artifacts: str | None) -> None:
    """Leave the URLs to child processes, but not on their command lines, which every user of the machine can read."""
    for variable, url in (("VENATION_STORAGE", storage), ("VENATION_ARTIFACTS", artifacts)):
        if url is not None:
            os.environ[variable] = url


def _serve_own_metrics(host: str, port: int) -> None:
    from ..upkeep.prometheus import serve_registry
    from ..workers.worker_metrics import REGISTRY

    serve_registry(REGISTRY, host=host, port=port)
