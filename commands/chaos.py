"""`venation chaos`: test the guarantees of the service on this machine."""

from typing import Annotated

import typer

from .shared import AsJson, print_result


def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes with faults.")] = 3.0,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the faults and of the studies.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Kill, pause and cut off real workers and their database, and check that no trial is lost.

    Exit code 1 if a guarantee does not hold. The run has a temporary home folder with its own
    database: it does not touch your studies.
    """
    from ..chaos.run import run_chaos

    report = run_chaos(minutes=minutes, workers=workers, seed=seed)
    print_result(report.row(), as_json)
    if report.violations:
        raise typer.Exit(1)
