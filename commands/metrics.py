"""`venation metrics`: the whole service in numbers, for Prometheus."""

import signal
from typing import Annotated

import typer

from .shared import StorageUrl, open_database


def metrics(
    host: Annotated[str, typer.Option(help="Address to listen on; the metrics have no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 9100,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics and end.")] = False,
    storage: StorageUrl = None,
) -> None:
    """Serve Prometheus metrics of all studies and workers, asked of the database at every scrape."""
    from prometheus_client import generate_latest

    from ..upkeep.prometheus import serve_registry, service_registry

    registry = service_registry(open_database(storage))
    if once:
        typer.echo(generate_latest(registry).decode(), nl=False)
        return
    # A container is stopped by SIGTERM, which the first process of one ignores unless it asks for it.
    stops = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        taken = serve_registry(registry, host=host, port=port)
        typer.echo(f"metrics on http://{host}:{taken}/metrics (Ctrl-C stops it)", err=True)
        signal.sigwait(stops)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
