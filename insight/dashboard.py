"""Serve optuna-dashboard over a cached storage.

The stock command reads every trial again at each poll.
"""

import logging
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard
from optuna.storages import RDBStorage

from ..errors import UserError
from ..storage.artifacts import Artifacts
from ..storage.database import cached

log = logging.getLogger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log no requests: the page polls every few seconds."""


def build_server(storage: RDBStorage, artifacts: Artifacts, *, host: str, port: int) -> WSGIServer:
    """Return a server that listens on ``host``:``port`` (0: any free port).

    UserError if the address is taken.
    """
    application = optuna_dashboard.wsgi(cached(storage), artifact_store=artifacts)
    try:
        return make_server(host, port, application, server_class=_Server, handler_class=_QuietHandler)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port."
        ) from None


def serve(storage: RDBStorage, artifacts: Artifacts, *, host: str, port: int) -> None:
    """Serve the dashboard until interrupted."""
    with build_server(storage, artifacts, host=host, port=port) as server:
        log.info("dashboard on http://%s:%d (Ctrl-C stops it)", host, server.server_port)
        server.serve_forever()
