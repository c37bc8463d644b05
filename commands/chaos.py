"""`venation chaos`: test the guarantees of the service on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import AsJson, print_result


def chaos(
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Minutes with faults; more until each kind has occurred.")
    ] = 3.0,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the faults and of the studies.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Inject only this kind; repeatable [default: all].")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds between two faults, on average.")] = 4.0,
    older: Annotated[
        Path | None, typer.Option(help="Folder with the package `venation` of an older version, for its workers.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Kill, pause and cut off real workers and their database, and check that no trial is lost.

    Exit code 1 if a guarantee does not hold, or if a kind of fault never occurred. The run has a
    temporary home folder with its own database: it does not touch your studies.
    """
    from ..chaos.run import ChaosRequest, run_chaos

    kinds = tuple(dict.fromkeys(fault or ()))
    report = run_chaos(ChaosRequest(minutes, workers, seed, kinds=kinds, every=every, older=older))
    print_result(report.row(), as_json)
    if report.violations:
        raise typer.Exit(1)
