"""Serve optuna-dashboard over a cached storage, behind a guard.

The stock command reads every trial again at each poll, answers to any name and changes studies for
everyone who reaches it.
"""

import logging
import socket
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from optuna.storages import RDBStorage
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ..errors import UserError
from ..storage.artifacts import Artifacts
from ..storage.database import cached
from ..storage.quick_trials import QuickStorage
from ..web.access import Access
from ..web.address import cannot_listen, check_root, url
from ..web.gate import Gate
from ..web.login import Login
from .guard import HOME, Guard
from .page import Pages, script
from .views import Views

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerOptions:
    """The address of the dashboard and the rules for its requests.

    ``names`` are further names of the server, ``root`` is its path behind a proxy.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    names: tuple[str, ...] = ()
    root: str = ""
    write: bool = False
    login: Login | None = None
    open_to_all: bool = False


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    timeout = 60  # for a client that sends no whole request

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests: the page polls every few seconds."""


def build_server(storage: RDBStorage, artifacts: Artifacts, options: ServerOptions) -> WSGIServer:
    """Return a server that listens on the address of ``options`` (port 0: any free port).

    UserError if the address is taken, if other machines reach a dashboard without a login, or for a
    path that is none.
    """
    host, port, access = options.host, options.port, Access(options.host, options.names, options.write)
    root = check_root(options.root)
    if root:
        script(root)
    if options.login is None and not access.is_local and not options.open_to_all:
        raise UserError(
            f"other machines reach {host}, so the dashboard needs a login; give --login FILE, or --no-login behind a"
            " proxy that has one."
        )
    application = optuna_dashboard.wsgi(cached(QuickStorage(storage)), artifact_store=artifacts)
    application.catchall = False  # errors reach the guard
    views = Views(application, storage, artifacts, root)
    gate = Gate(access, options.login, root, (HOME,))
    guard = Guard(Pages(views, root, options.write), gate, lambda: _answers(storage))
    try:
        kind = _Server6 if ":" in host else _Server
        return make_server(host, port, guard, server_class=kind, handler_class=_QuietHandler)
    except OSError as error:
        raise cannot_listen(host, port, error) from None


def serve(storage: RDBStorage, artifacts: Artifacts, options: ServerOptions) -> None:
    """Serve the dashboard until interrupted."""
    with build_server(storage, artifacts, options) as server:
        rights = "may change studies" if options.write else "read-only; --write allows changes"
        shown = url(options.host, server.server_port, options.root)
        log.info("dashboard on %s (%s; Ctrl-C stops it)", shown, rights)
        server.serve_forever()


def _answers(storage: RDBStorage) -> bool:
    try:
        with storage.engine.connect() as connection:
            return connection.scalar(text("SELECT 1")) == 1
    except SQLAlchemyError:
        return False
