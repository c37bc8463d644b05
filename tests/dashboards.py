"""Dashboards for tests: a running server, and requests to it with any headers."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from wsgiref.types import WSGIApplication

from study_helpers import StudyHarness

from venation.insight.dashboard import ServerOptions, build_server


@dataclass(frozen=True)
class Response:
    """The response of a server: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


Send = Callable[..., Response]


@contextmanager
def address(harness: StudyHarness, options: ServerOptions | None = None) -> Iterator[str]:
    """Run a dashboard; yield its URL without a path."""
    server = build_server(harness.storage, harness.artifacts, options or ServerOptions(port=0))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running(harness: StudyHarness, options: ServerOptions | None = None) -> Iterator[Send]:
    """Run a dashboard; yield a function that sends it a request and returns the response."""
    with address(harness, options) as place:
        yield partial(send, place)


def send(base: str, path: str, method: str = "GET", body: str | bytes | None = None, **headers: str) -> Response:
    """Send a request and return the response."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=60)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body=body, headers=given)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    response = Response(answer.status, found, answer.read())
    connection.close()
    return response


def ask(application: WSGIApplication, path: str, method: str = "GET", **environ: object) -> Response:
    """Return the response of a WSGI application to one request without a network."""
    seen: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        seen.append((status, headers))
        return lambda _: None

    given = {"REQUEST_METHOD": method, "PATH_INFO": path, "HTTP_HOST": "localhost:8080", **environ}
    body = b"".join(application(given, start))  # type: ignore[arg-type]
    (status, headers) = seen[0]
    return Response(int(status.split()[0]), {name.lower(): value for name, value in headers}, body)
