"""Guard a WSGI application: health, the rules of a gate, safe headers, outages as one line."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from ..redaction import redact
from ..web.answers import PRIVATE, Answer, redirect, refuse
from ..web.gate import MAX_FORM, Gate, Request, without_root

log = logging.getLogger(__name__)

HOME = "/dashboard"
# Stored files are other people's: one that is a page must not run in the dashboard's name.
_FILES_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox"


class _DatabaseAway(Exception):
    """A failed request while the database does not answer; optuna-dashboard hides the error."""

    def __str__(self) -> str:
        return "no connection"


@dataclass(frozen=True)
class Guard:
    """A WSGI application in front of another one; ``is_ready``: whether the database answers."""

    application: WSGIApplication
    gate: Gate
    is_ready: Callable[[], bool]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ["PATH_INFO"] = without_root(environ.get("PATH_INFO", ""), self.gate.root)
        send = _with_safe_headers(start_response, is_file=path.startswith(("/artifacts/", "/pictures/")))

        def send_checked(status: str, *rest: Any) -> Callable[[bytes], object]:
            if status.startswith("500") and not self.is_ready():
                raise _DatabaseAway
            return send(status, *rest)

        request = self._request(environ, path)
        try:
            return self._answer(request)(environ, send_checked)
        except (SQLAlchemyError, StorageInternalError, _DatabaseAway) as error:
            cause = redact(str(error.__cause__ or error).strip().splitlines()[0])
            log.warning("the database does not answer: %s", cause)
            reason = f"the database does not answer ({cause}); see `venation db status`"
            return refuse("503 Service Unavailable", reason, as_json=request.wants_json)(environ, send)

    def _answer(self, request: Request) -> WSGIApplication:
        if request.path == "/health":
            return Answer("200 OK", "ok\n")
        if request.path == "/health/ready":
            ready = self.is_ready()
            return Answer("200 OK" if ready else "503 Service Unavailable", "ok\n" if ready else "no database\n")
        answer = self.gate.answer(request)
        if answer is None and request.path in ("", "/"):
            return redirect(f"{self.gate.root}{HOME}")
        return answer or self.application

    def _request(self, environ: WSGIEnvironment, path: str) -> Request:
        headers = {
            name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"
        }
        method = environ["REQUEST_METHOD"]
        form = _form(environ) if self.gate.is_login(method, path) else b""
        scheme = str(environ.get("wsgi.url_scheme", "http"))
        return Request(method, path, environ.get("QUERY_STRING", ""), headers, scheme, form)


def _form(environ: WSGIEnvironment) -> bytes:
    """Return the body of a posted form; nothing of one that is too long."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= MAX_FORM):
        return b""
    return bytes(environ["wsgi.input"].read(int(length)))


def _with_safe_headers(start_response: StartResponse, *, is_file: bool) -> StartResponse:
    """Return ``start_response`` without shared origins, and with the headers of a private page."""

    def send(status: str, headers: list[tuple[str, str]], *rest: object) -> Callable[[bytes], object]:
        kept = [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]
        extra = [("Content-Security-Policy", _FILES_POLICY)] if is_file else []
        return start_response(status, [*kept, *PRIVATE, *extra], *rest)  # type: ignore[arg-type]

    return send
