"""`venation metrics`: Prometheus metrics over HTTP."""

import signal
from typing import Annotated

import typer

from .shared import StorageUrl, open_database


def metrics(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the metrics have no login, so keep it private.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free port.")] = 9100,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics and exit.")] = False,
    storage: StorageUrl = None,
) -> None:
    """Serve Prometheus metrics of all studies and workers, read at every scrape."""
    from prometheus_client import generate_latest

    from ..upkeep.prometheus import serve_registry, service_registry

    registry = service_registry(open_database(storage))
    if once:
        typer.echo(generate_latest(registry).decode(), nl=False)
        return
    # A container's first process ignores SIGTERM unless it waits for the signal explicitly.
    stops = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        bound = serve_registry(registry, host=host, port=port)
        typer.echo(f"metrics on http://{host}:{bound}/metrics (Ctrl-C stops it)", err=True)
        signal.sigwait(stops)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
