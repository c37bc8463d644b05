"""Decide which requests pass: Host, Origin, method and login; log users in and out."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote

from .access import Access
from .answers import Answer, login_page, redirect, refuse
from .login import SESSION_S, Login, TooManyTries

MAX_FORM = 4096  # bytes
_COOKIE = "venation_session"


@dataclass(frozen=True)
class Request:
    """A request without its body; ``headers`` by lower-case name, ``path`` without the root.

    ``form`` is the body of a posted login form, empty if it is longer than ``MAX_FORM``.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"
    form: bytes = b""

    @property
    def wants_json(self) -> bool:
        """Whether the sender is a program, which reads JSON."""
        return self.path.startswith("/api/")


@dataclass(frozen=True)
class Gate:
    """The rules of a server; ``root`` is its path behind a proxy, empty or like ``/lab``.

    A login leads to a page of ``pages``, which stand for the pages below them too.
    """

    access: Access
    login: Login | None
    root: str = ""
    pages: tuple[str, ...] = ("/",)

    def is_login(self, method: str, path: str) -> bool:
        """Return whether a request posts the login form, so that its body is needed."""
        return self.login is not None and (method, path) == ("POST", "/login")

    def answer(self, request: Request) -> Answer | None:
        """Return the answer to a request that does not pass, or that logs in or out; else None."""
        signs_in = self.login is not None and request.path == "/login"
        reason = self.access.refusal(request.method, request.headers, changes_nothing=signs_in)
        if reason is not None:
            return refuse("403 Forbidden", reason, as_json=request.wants_json)
        if self.login is None:
            return None
        if signs_in:
            return self._sign_in(request, self.login)
        if request.path == "/logout":
            return redirect(f"{self.root}/login", ("Set-Cookie", self._cookie(request, "", 0)))
        try:
            return None if _is_signed_in(request.headers, self.login) else self._ask(request)
        except TooManyTries as error:
            return refuse("429 Too Many Requests", str(error), as_json=request.wants_json)

    def _ask(self, request: Request) -> Answer:
        if request.wants_json or request.method not in ("GET", "HEAD"):
            return refuse("401 Unauthorized", "log in first; open /login", as_json=request.wants_json)
        return redirect(f"{self.root}/login?next={quote(request.path.encode('latin-1', 'replace'))}")

    def _sign_in(self, request: Request, login: Login) -> Answer:
        then = parse_qs(request.query).get("next", [self.pages[0]])[0]
        # Only to a page of this server: another target would serve a forged link.
        then = then if any(_is_below(then, page) for page in self.pages) else self.pages[0]
        action = f"{self.root}/login?next={quote(then)}"
        if request.method != "POST":
            return login_page(action)
        given = _fields(request.form)
        try:
            if login.check(given.get("user", ""), given.get("secret", "")):
                cookie = self._cookie(request, login.new_session(), SESSION_S)
                return redirect(self.root + quote(then), ("Set-Cookie", cookie))
        except TooManyTries as error:
            return login_page(action, str(error))
        return login_page(action, "User, password or token is wrong.")

    def _cookie(self, request: Request, value: str, age: int) -> str:
        encrypted = "https" in (request.headers.get("x-forwarded-proto"), request.scheme)
        secure = "; Secure" if encrypted else ""
        return f"{_COOKIE}={value}; Path={self.root or '/'}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"


def without_root(path: str, root: str) -> str:
    """Return the path of a request without the root, which a proxy may have removed or not."""
    return path.removeprefix(root) if root and (path == root or path.startswith(f"{root}/")) else path


def _is_below(path: str, page: str) -> bool:
    return path == page or (page != "/" and path.startswith(f"{page}/"))


def _is_signed_in(headers: Mapping[str, str], login: Login) -> bool:
    """Return whether the request has a session, a bearer token, or a user and password."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return login.check("", value.strip())
    if kind.lower() == "basic":
        try:
            user, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return login.check(user, secret)
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return False
    return morsel is not None and login.has_session(morsel.value)


def _fields(form: bytes) -> dict[str, str]:
    """Return the fields of a posted form; none of one that is no text."""
    try:
        fields = parse_qs(form.decode(), keep_blank_values=True)
    except (UnicodeDecodeError, ValueError):
        return {}
    return {name: values[0] for name, values in fields.items()}
