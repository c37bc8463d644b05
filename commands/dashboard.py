"""`venation dashboard`: optuna-dashboard over all studies."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .shared import ArtifactsUrl, StorageUrl, open_both


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
    from ..web.login import add_user as write_user
    from ..web.login import read_login

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
