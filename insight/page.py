"""The page of optuna-dashboard and its script, as served under a path of a proxy."""

import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna_dashboard

from ..errors import UserError
from ..web.answers import HTML, Answer

_FOLDER = Path(optuna_dashboard.__file__).parent
# The script's own addresses begin at the server's root: those of its pages, and of all requests.
_PAGES = 'url_prefix:"/dashboard"'
_REQUESTS = re.compile(r"(?<=[`(}])/(?=(?:api|artifacts|csv)/(?:\$\{|[a-z]))")
# Optuna's own policy: parallel coordinates are drawn by WebGL, which compiles code.
_POLICY = ";".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "frame-src 'self'",
        "frame-ancestors 'self'",
        "object-src 'none'",
        "connect-src 'self'",
        "style-src 'self' data: 'unsafe-inline'",
        "script-src 'self' 'unsafe-eval'",
    )
)
# Renaming a study loses its files, and is refused. Long attributes wrap: no page is too wide.
_STYLE = """
body { overflow-wrap: anywhere }
.MuiBox-root > .MuiBox-root > p.MuiTypography-body1 { white-space: normal !important }
[aria-label="rename study"] { display: none !important }
"""
# The controls that a read-only server refuses, by the names of their icons.
_READ_ONLY = """
[aria-label="delete study"], [aria-label="delete artifact"], button:has([data-testid="AddBoxIcon"]),
button:has([data-testid="EditIcon"]), .MuiCard-root:has([data-testid="UploadFileIcon"]):not(:has(.MuiCard-root))
{ display: none !important }
"""


@dataclass(frozen=True)
class Pages:
    """A WSGI application that serves the page and its script, and leaves the rest to another."""

    application: WSGIApplication
    root: str
    write: bool = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self._answer(environ.get("PATH_INFO", ""))(environ, start_response)

    def _answer(self, path: str) -> WSGIApplication:
        if path == "/dashboard" or path.startswith("/dashboard/"):
            return Answer("200 OK", page(self.root, self.write), HTML, (("Content-Security-Policy", _POLICY),))
        if self.root and path == "/static/bundle.js":
            encoding = (("Content-Encoding", "gzip"), ("Cache-Control", "max-age=3600"))
            return Answer("200 OK", script(self.root), "text/javascript; charset=utf-8", encoding)
        return self.application


@cache
def page(root: str, write: bool) -> str:
    """Return the HTML page whose script is at ``root``; without ``write`` it offers no changes."""
    html = (_FOLDER / "index.html").read_text(encoding="utf-8")
    html = html.replace('src="/static/', f'src="{root}/static/').replace("<title>Optuna", "<title>Venation")
    return html.replace("</head>", f"<style>{_STYLE}{'' if write else _READ_ONLY}</style></head>")


@cache
def script(root: str) -> bytes:
    """Return the compressed script, whose addresses begin with ``root``.

    Raises UserError if the installed optuna-dashboard has no such addresses.
    """
    text = (_FOLDER / "public" / "bundle.js").read_text(encoding="utf-8")
    moved, requests = _REQUESTS.subn(f"{root}/", text)
    if requests == 0 or _PAGES not in text:
        raise UserError("the installed optuna-dashboard cannot be served under a path; leave --root-path out.")
    return gzip.compress(moved.replace(_PAGES, f'url_prefix:"{root}/dashboard"').encode(), compresslevel=6)
