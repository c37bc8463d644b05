"""Guard a WSGI application: health, Host, Origin, login, reading only, safe headers."""

import base64
import binascii
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from ..redaction import redact
from .access import Access
from .answers import Answer, login_page, redirect, refuse
from .login import SESSION_S, Login, TooManyTries

log = logging.getLogger(__name__)

_COOKIE = "venation_session"
_MAX_FORM = 4096
# Stored files are other people's: one that is a page must not run in the dashboard's name.
_FILES_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox"
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
]


class _DatabaseAway(Exception):
    """A failed request while the database does not answer; optuna-dashboard hides the error."""

    def __str__(self) -> str:
        return "no connection"


@dataclass(frozen=True)
class Guard:
    """A WSGI application in front of another one.

    ``root`` is the path under which a proxy offers it, empty or like ``/lab``; the proxy may remove
    it or not. ``is_ready`` says whether the database answers.
    """

    application: WSGIApplication
    access: Access
    login: Login | None
    root: str
    is_ready: Callable[[], bool]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if self.root and (path == self.root or path.startswith(f"{self.root}/")):
            path = environ["PATH_INFO"] = path.removeprefix(self.root)
        send = _with_safe_headers(start_response, is_file=path.startswith(("/artifacts/", "/pictures/")))

        def send_checked(status: str, *rest: Any) -> Callable[[bytes], object]:
            if status.startswith("500") and not self.is_ready():
                raise _DatabaseAway
            return send(status, *rest)

        try:
            return self._answer(environ, path)(environ, send_checked)
        except (SQLAlchemyError, StorageInternalError, _DatabaseAway) as error:
            cause = redact(str(error.__cause__ or error).strip().splitlines()[0])
            log.warning("the database does not answer: %s", cause)
            reason = f"the database does not answer ({cause}); see `venation db status`"
            return refuse("503 Service Unavailable", reason, as_json=_wants_json(path))(environ, send)

    def _answer(self, environ: WSGIEnvironment, path: str) -> WSGIApplication:
        if path == "/health":
            return Answer("200 OK", "ok\n")
        if path == "/health/ready":
            ready = self.is_ready()
            return Answer("200 OK" if ready else "503 Service Unavailable", "ok\n" if ready else "no database\n")
        signs_in = self.login is not None and path == "/login"
        reason = self.access.refusal(environ, changes_nothing=signs_in)
        if reason is not None:
            return refuse("403 Forbidden", reason, as_json=_wants_json(path))
        if self.login is not None:
            if signs_in:
                return self._sign_in(environ, self.login)
            if path == "/logout":
                return redirect(f"{self.root}/login", ("Set-Cookie", self._cookie(environ, "", 0)))
            try:
                if not _is_signed_in(environ, self.login):
                    return self._ask(environ, path)
            except TooManyTries as error:
                return refuse("429 Too Many Requests", str(error), as_json=_wants_json(path))
        return redirect(f"{self.root}/dashboard") if path in ("", "/") else self.application

    def _ask(self, environ: WSGIEnvironment, path: str) -> Answer:
        if _wants_json(path) or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return refuse("401 Unauthorized", "log in first; open /login", as_json=_wants_json(path))
        return redirect(f"{self.root}/login?next={quote(path.encode('latin-1'))}")

    def _sign_in(self, environ: WSGIEnvironment, login: Login) -> Answer:
        then = parse_qs(environ.get("QUERY_STRING", "")).get("next", ["/dashboard"])[0]
        # Only to a page of the dashboard: another target would serve a forged link.
        then = then if then.startswith("/dashboard") else "/dashboard"
        action = f"{self.root}/login?next={quote(then)}"
        if environ["REQUEST_METHOD"] != "POST":
            return login_page(action)
        given = _form(environ)
        try:
            if login.check(given.get("user", ""), given.get("secret", "")):
                cookie = self._cookie(environ, login.new_session(), SESSION_S)
                return redirect(self.root + quote(then), ("Set-Cookie", cookie))
        except TooManyTries as error:
            return login_page(action, str(error))
        return login_page(action, "User, password or token is wrong.")

    def _cookie(self, environ: WSGIEnvironment, value: str, age: int) -> str:
        encrypted = "https" in (environ.get("HTTP_X_FORWARDED_PROTO"), environ.get("wsgi.url_scheme"))
        secure = "; Secure" if encrypted else ""
        return f"{_COOKIE}={value}; Path={self.root or '/'}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"


def _is_signed_in(environ: WSGIEnvironment, login: Login) -> bool:
    """Return whether the request has a session, a bearer token, or a user and password."""
    kind, _, value = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() == "bearer":
        return login.check("", value.strip())
    if kind.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return login.check(user, secret)
    try:
        morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(_COOKIE)
    except CookieError:
        return False
    return morsel is not None and login.has_session(morsel.value)


def _form(environ: WSGIEnvironment) -> dict[str, str]:
    """Return the fields of a posted form; none of a body that is too long or is no text."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 6 and int(length) <= _MAX_FORM):
        return {}
    try:
        fields = parse_qs(environ["wsgi.input"].read(int(length)).decode(), keep_blank_values=True)
    except (UnicodeDecodeError, ValueError):
        return {}
    return {name: values[0] for name, values in fields.items()}


def _wants_json(path: str) -> bool:
    return path.startswith("/api/")


def _with_safe_headers(start_response: StartResponse, *, is_file: bool) -> StartResponse:
    """Return ``start_response`` without shared origins, and with the headers of a private page."""

    def send(status: str, headers: list[tuple[str, str]], *rest: object) -> Callable[[bytes], object]:
        kept = [(name, value) for name, value in headers if not name.lower().startswith("access-control-")]
        extra = [("Content-Security-Policy", _FILES_POLICY)] if is_file else []
        return start_response(status, [*kept, *_HEADERS, *extra], *rest)  # type: ignore[arg-type]

    return send
