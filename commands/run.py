"""`venation demo`, `worker` and `dashboard`: what runs for a while."""

from pathlib import Path
from typing import Annotated

import typer

from .options import ArtifactsUrl, Device, StorageUrl, StudyNames, open_both


def demo(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the leaves, the bundle and the predictions.")] = Path(
        "venation-demo"
    ),
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Run the whole main flow on generated leaves: three studies, a bundle, a prediction."""
    from ..search.demo import run_demo

    run_demo(workers=workers, out=out, storage=storage, artifacts=artifacts)


def worker(
    studies: StudyNames,
    device: Device = "auto",
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Stop after so many trials.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when every study has ended.")] = False,
    max_retries: Annotated[int, typer.Option(min=0, help="Workers that one trial may cost before it fails.")] = 3,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Pull trials of the studies and run them; the same command on every machine."""
    from ..search.bench import open_bench
    from ..search.studies import open_study
    from ..search.worker import work

    database, store = open_both(storage, artifacts)
    benches = [open_bench(open_study(database, name), store, device=device, data=data) for name in studies]
    ended = work(benches, max_trials=max_trials, max_losses=max_retries, until_idle=until_idle)
    typer.echo(f"{ended} trials ended", err=True)


def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; the dashboard has no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8080,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Serve optuna-dashboard over the studies and the files of their trials."""
    from ..search.dashboard import serve

    database, store = open_both(storage, artifacts)
    serve(database, store, host=host, port=port)
