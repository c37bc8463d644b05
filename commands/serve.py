"""`venation dashboard` and `venation metrics`: the two HTTP servers."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .shared import ArtifactsUrl, StorageUrl, open_both, open_database


def dashboard(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach all but 127.0.0.1, and must log in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free port.")] = 8080,
    write: Annotated[
        bool, typer.Option("--write", help="Allow changes: notes, deletion of studies, uploads [default: read-only].")
    ] = False,
    login: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask for a login: a user or a token of this file.")
    ] = None,
    add_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask for a password, add the user to the --login file, and exit.")
    ] = None,
    no_login: Annotated[
        bool, typer.Option("--no-login", help="Let other machines in without a login, behind a proxy that has one.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this server, such as its proxy's; may be repeated."),
    ] = None,
    root_path: Annotated[str, typer.Option(metavar="PATH", help="Path under which a proxy offers the dashboard.")] = "",
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Serve optuna-dashboard over all studies and the files of their trials."""
    from ..insight.login import add_user as write_user
    from ..insight.login import read_login

    if add_user is not None:
        if login is None:
            raise UsageError("--add-user needs the file of the users; give --login FILE.")
        write_user(login, add_user, typer.prompt("Password", hide_input=True, confirmation_prompt=True))
        typer.echo(f"user {add_user} of {login} has a new password; restart the dashboard.", err=True)
        return
    known = None if login is None else read_login(login)
    from ..insight.dashboard import ServerOptions, serve

    options = ServerOptions(host, port, tuple(allow_host or ()), root_path, write, known, no_login)
    database, store = open_both(storage, artifacts)
    serve(database, store, options)


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
