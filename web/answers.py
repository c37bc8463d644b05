"""Short answers of a server itself: texts, JSON, redirections, the login page."""

import json
from dataclasses import dataclass
from html import escape
from wsgiref.types import StartResponse, WSGIEnvironment

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
SVG = "image/svg+xml"
# The headers of every answer: no other site may load or frame it.
PRIVATE = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
)

_LOGIN = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in - Venation</title>
<style>
:root { color-scheme: light dark; --page: #f3f6f3; --panel: #fff; --ink: #17211b; --line: #66756c;
--accent: #17693f; --on: #fff; --wrong: #a11a1a; }
@media (prefers-color-scheme: dark) { :root { --page: #101512; --panel: #182019; --ink: #e7ede9;
--line: #8a998f; --accent: #6fd3a0; --on: #06140c; --wrong: #ffaaa3; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; padding: 1px 16px; background: var(--page);
color: var(--ink); }
main { max-width: 22rem; margin: 14vh auto 0; padding: 1.75rem; background: var(--panel);
border-radius: 16px; box-shadow: 0 1px 3px #0002, 0 8px 28px #0001; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; }
label { display: block; margin-top: 1rem; }
input { box-sizing: border-box; width: 100%; font: inherit; padding: .55rem .7rem; color: inherit;
background: var(--page); border: 1px solid var(--line); border-radius: 10px; }
button { width: 100%; margin-top: 1.5rem; font: inherit; font-weight: 600; padding: .6rem 1.4rem; border: 0;
border-radius: 10px; background: var(--accent); color: var(--on); cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
[role=alert] { color: var(--wrong); margin: 1rem 0 0; }
</style>
</head>
<body>
<main>
<h1>Venation</h1>
<form method="post" action="ACTION">
<label for="user">User (leave empty for a token)</label>
<input id="user" name="user" autocomplete="username" autofocus>
<label for="secret">Password or token</label>
<input id="secret" name="secret" type="password" autocomplete="current-password" required>
ALERT
<button>Log in</button>
</form>
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Answer:
    """A whole response: ``status`` such as ``200 OK``, body, content type, further headers."""

    status: str
    body: str | bytes = ""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """The body in bytes."""
        return self.body.encode() if isinstance(self.body, str) else self.body

    @property
    def fields(self) -> list[tuple[str, str]]:
        """All headers, with the body's type and length."""
        length = str(len(self.content))
        return [("Content-Type", self.content_type), ("Content-Length", length), *self.headers]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Send the response through WSGI, to a HEAD request without its body."""
        start_response(self.status, self.fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.content]


def refuse(status: str, reason: str, *, as_json: bool) -> Answer:
    """Return a refusal in the form that the page shows (``reason``), or as text."""
    return Answer(status, json.dumps({"reason": reason}), JSON) if as_json else Answer(status, f"{reason}\n")


def redirect(path: str, *headers: tuple[str, str]) -> Answer:
    """Return a redirection to a path of this server."""
    return Answer("303 See Other", headers=(("Location", path), *headers))


def login_page(action: str, problem: str | None = None) -> Answer:
    """Return the page that asks for user and password, or for a token."""
    alert = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    body = _LOGIN.replace("ACTION", escape(action, quote=True)).replace("ALERT", alert)
    return Answer("200 OK" if problem is None else "401 Unauthorized", body, HTML)
