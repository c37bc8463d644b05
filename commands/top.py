"""`venation top`: all studies and workers, live."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..wording import counted
from .shared import AsJson, StorageUrl, open_database, print_result

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from rich.console import RenderableType

_STUDY = ("study", "kind", "budget", "running", "complete", "pruned", "fail", "waiting", "best", "best_trial", "paused")
_WORKER = ("worker", "state", "device", "study", "trial", "epoch", "silent_s")
_BAR = 24


def top(
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two readings.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print the state once; a pipe gets it once, too.")] = False,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Watch all studies and all workers on a terminal, until Ctrl-C."""
    database = open_database(storage, reading=True)
    if once or as_json or not sys.stdout.isatty():
        studies, workers = _read(database)
        if as_json:
            print_result({"studies": studies, "workers": workers}, as_json=True)
            return
        print_result(studies, as_json=False)
        if workers:
            typer.echo()
            print_result(workers, as_json=False)
        _remark(studies, workers)
        return
    from rich.live import Live

    with Live(fleet_view(*_read(database)), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(fleet_view(*_read(database)), refresh=True)


def fleet_view(studies: Sequence[Mapping[str, Any]], workers: Sequence[Mapping[str, Any]]) -> "RenderableType":
    """Return the tables of studies, each with a bar, and of workers."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("study", "kind", "progress", "trials", "running", "failed", "best", "in trial"):
        shown.add_column(name)
    for row in studies:
        done = ended_trials(row)
        bar = ProgressBar(total=row["budget"] or max(1, done), completed=done, width=_BAR)
        best = "-" if row["best"] is None else f"{row['best']:.4g}"
        counts = (f"{done}/{row['budget'] or '-'}", str(row["running"] or 0), str(row["fail"] or 0))
        name = f"{row['study']}{' (paused)' if row.get('paused') else ''}"
        shown.add_row(name, str(row["kind"]), bar, *counts, best, _text(row["best_trial"]))
    fleet = Table(box=None, pad_edge=False, header_style="bold")
    for name in _WORKER:
        fleet.add_column(name)
    for row in workers:
        fleet.add_row(*(_text(row[name]) for name in _WORKER), style="red" if row["state"] == "silent" else "")
    many = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    title = Text(f"{many}, {counted(len(workers), 'worker')}, {time.strftime('%H:%M:%S')} (Ctrl-C ends)")
    return Group(title, Text(), shown, Text(), fleet if workers else Text("no worker is alive"))


def ended_trials(row: Mapping[str, Any]) -> int:
    """Return how many trials of a study's row have ended."""
    return sum(row[state] or 0 for state in ("complete", "pruned", "fail"))


def _read(database: "RDBStorage") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from ..studies.registry import study_rows
    from ..workers.worker_status import list_workers

    studies = [{name: row.get(name) for name in _STUDY} for row in study_rows(database)]
    return studies, [{name: row[name] for name in _WORKER} for row in list_workers(database)]


def _remark(studies: Sequence[object], workers: Sequence[object]) -> None:
    if not studies:
        typer.echo("there is no study yet; `venation study create` makes one", err=True)
    elif not workers:
        typer.echo("no worker is alive; `venation worker STUDY` starts one", err=True)


def _text(value: object) -> str:
    return "-" if value is None else str(value)
