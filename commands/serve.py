"""`venation serve`: a bundle as a page for photos and an HTTP API."""

import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import UserError
from .groups import examples
from .shared import BundlePath, Device, Runner

SERVE_EXAMPLES = examples(
    "serve soy.bundle", "serve soy.bundle --port 9000 --max-mb 8", "serve soy.bundle --host 0.0.0.0 --token generate"
)
TOKEN = "VENATION_SERVE_TOKEN"  # noqa: S105


def serve(
    bundle: BundlePath,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach all but 127.0.0.1, and need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free port.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Ask for a token or user of this file, which may be the dashboard's."),
    ] = None,
    token: Annotated[
        Literal["generate"] | None,
        typer.Option(help=f"Make a token, print it once, and ask for it [or set {TOKEN}]."),
    ] = None,
    max_mb: Annotated[
        float, typer.Option(min=0.001, max=65536, help="Largest accepted file, in MB of 2^20 bytes.")
    ] = 32,
    parallel: Annotated[
        int, typer.Option(min=1, max=64, help="Photos predicted at the same time; each takes memory for a network.")
    ] = 1,
    queue: Annotated[int, typer.Option(min=0, help="Further requests that may wait; others must retry.")] = 16,
    time_limit: Annotated[
        float, typer.Option(min=1, max=86400, help="Seconds for an upload, and again for its prediction.")
    ] = 60,
    min_probability: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Answer `unknown` where the most probable class has less than this [default: the bundle's].",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name of this server, such as its proxy's; may be repeated."),
    ] = None,
    root_path: Annotated[str, typer.Option(metavar="PATH", help="Path under which a proxy offers the page.")] = "",
    device: Device = "auto",
    runner: Runner = "auto",
) -> None:
    """Serve a page to drop photos on, and an HTTP API, for a bundle; needs `venation[serve]`."""
    try:
        from ..serving.app import Limits
        from ..serving.server import ServeOptions
        from ..serving.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "prometheus_client", "starlette", "uvicorn"):
            raise
        raise UserError('`venation serve` needs fastapi and uvicorn; run pip install "venation[serve]".') from None
    from ..web.login import MIN_TOKEN, Login, read_login

    given = os.environ.get(TOKEN)
    if given is not None and len(given) < MIN_TOKEN:
        raise UserError(f"{TOKEN} has {len(given)} characters; take {MIN_TOKEN} or more, as of `openssl rand -hex 24`.")
    tokens = [] if given is None else [given]
    if token is not None:
        tokens.append(secrets.token_hex(24))
        typer.echo(f"token: {tokens[-1]}")
    login = None if token_file is None else read_login(token_file)
    if tokens:
        users, known = ({}, ()) if login is None else (login.users, login.tokens)
        login = Login(users, (*known, *tokens))
    options = ServeOptions(
        host,
        port,
        tuple(allow_host or ()),
        root_path,
        login,
        Limits(round(max_mb * 2**20), queue, time_limit),
        parallel,
        min_probability,
        runner,
        device,
    )
    run(bundle, options)
