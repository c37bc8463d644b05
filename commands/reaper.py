"""`venation reaper`: bring back trials whose worker died, also while no other worker asks for one."""

from typing import Annotated

import typer

from .shared import StorageUrl, open_database


def reaper(
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 30.0,
    max_retries: Annotated[int, typer.Option(min=0, help="Workers that one trial may cost before it fails.")] = 3,
    storage: StorageUrl = None,
) -> None:
    """Put trials of silent workers back to the queue, over all studies, until told to stop."""
    from ..upkeep.doctor import check_rights
    from ..upkeep.reap_all import reap_forever, reap_once

    database = open_database(storage)
    check_rights(database)
    if not once:
        reap_forever(database, interval=interval, max_losses=max_retries)
        return
    for study, numbers in reap_once(database, max_losses=max_retries).items():
        typer.echo(f"{study}: {' '.join(map(str, numbers))}")
