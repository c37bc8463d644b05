"""Serve a bundle over HTTP until interrupted."""

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ..bundles.open_predictor import RunnerName
from ..errors import UserError
from ..web.access import Access
from ..web.address import check_root, listen, url
from ..web.gate import Gate
from ..web.login import Login
from .app import PAGES, Limits, build_app
from .guard import Guard
from .model import Model, load_models

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServeOptions:
    """The address of the server and the rules for its requests.

    ``names`` are further names of the server, ``root`` is its path behind a proxy. ``copies`` is
    the number of images predicted at the same time, ``runner`` and ``device`` what predicts them.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    root: str = ""
    login: Login | None = None
    limits: Limits = Limits()
    copies: int = 1
    min_probability: float | None = None
    runner: RunnerName = "auto"
    device: str = "auto"


def build_server(models: list[Model], options: ServeOptions) -> uvicorn.Server:
    """Return a server of a loaded bundle, of which ``models`` are copies.

    Raises UserError if other machines reach a server without a login, or for a path that is none.
    """
    access, root = _rules(options)
    app = build_app(models, options.limits, root=root, has_login=options.login is not None)
    config = uvicorn.Config(
        Guard(app, Gate(access, options.login, root, PAGES)),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


def serve(bundle: Path, options: ServeOptions) -> None:
    """Serve a bundle until interrupted.

    Raises UserError as ``build_server`` does, if the address is taken, or if the bundle cannot be
    used.
    """
    access, root = _rules(options)
    with listen(access, options.port) as place:
        models = load_models(
            bundle,
            copies=options.copies,
            runner=options.runner,
            device=options.device,
            min_probability=options.min_probability,
        )
        server = build_server(models, options)
        shown = url(options.host, place.getsockname()[1], f"{root}/")
        log.info("page and API of %s on %s (Ctrl-C stops it)", bundle, shown)
        # Whether uvicorn passes Ctrl-C on depends on the moment.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[place])


def _rules(options: ServeOptions) -> tuple[Access, str]:
    access = Access(options.host, options.names, write=True)
    if options.login is None and not access.is_local:
        raise UserError(
            f"other machines reach {options.host}, so the server needs a token; give --token-file FILE, set"
            " VENATION_SERVE_TOKEN, or give --token generate."
        )
    return access, check_root(options.root)
