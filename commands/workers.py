"""`venation workers`: who is alive, where and on what."""

import typer

from .shared import AsJson, StorageUrl, open_database, print_result


def workers(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the workers on all machines: busy, idle, or silent beyond their study's grace."""
    from ..workers.worker_status import list_workers

    rows = list_workers(open_database(storage))
    print_result(rows, as_json)
    if not rows:
        typer.echo("no worker is alive; `venation worker STUDY` starts one", err=True)
