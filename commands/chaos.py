"""`venation chaos`: does the service hold what it promises on this machine?"""

from typing import Annotated

import typer

from .shared import AsJson, print_result


def chaos(
    minutes: Annotated[float, typer.Option(min=0.1, help="How long faults are done.")] = 3.0,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults and of the studies.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Kill, stop, cut off and fill up real workers and their database, then check that nothing was lost; exit 1 if so.

    All of it happens in a temporary home folder with a database of its own: no study of yours is touched.
    """
    from ..chaos.run import run_chaos

    report = run_chaos(minutes=minutes, workers=workers, seed=seed)
    print_result(report.row(), as_json)
    if report.violations:
        raise typer.Exit(1)
