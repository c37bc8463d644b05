"""Requests to ``venation serve``, as bytes on a connection."""

import functools
import re
import select
import socket
import threading
from contextlib import suppress
from pathlib import Path

from served import form, photo, small_model

from venation.errors import UserError
from venation.serving.app import Limits
from venation.serving.server import ServeOptions, build_server
from venation.web.access import Access
from venation.web.address import listen

from .attempt import Fault, Kind
from .mutations import mutated

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@functools.cache
def _server() -> tuple[str, int]:
    """Return the address of a server that runs until the process ends."""
    options = ServeOptions(port=0, limits=Limits(max_bytes=1 << 20, seconds=20))
    place = listen(Access("127.0.0.1"), 0)
    server = build_server([small_model()], options)
    threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True).start()
    host, port = place.getsockname()
    return host, port


def _request(line: str, body: bytes = b"", kind: str = "") -> bytes:
    head = [line, "Host: localhost", "Connection: close"]
    head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"] if kind else []
    return "\r\n".join([*head, "", ""]).encode() + body


def _requests() -> list[bytes]:
    body, kind = form(photo(16, 12))
    posts = [_request(f"POST /api/predict{query} HTTP/1.1", body, kind) for query in ("", "?picture=overlay")]
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = (
        f"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    pages = ("/", "/docs", "/api/model", "/metrics", "/page/page.js", "/healthz", "/api/openapi.json")
    return [*posts, head.encode() + chunks, *(_request(f"GET {page} HTTP/1.1") for page in pages)]


def _send(content: bytes, folder: Path) -> None:
    """Send a request; the server answers it, or closes the connection, and never with an error."""
    answer = b""
    with socket.create_connection(_server(), timeout=60) as connection, suppress(ConnectionError):
        connection.sendall(content)
        while True:
            if not select.select([connection], [], [], 0.3)[0]:
                connection.shutdown(socket.SHUT_WR)  # a request that does not end
            if not (part := connection.recv(1 << 16)):
                break
            answer += part
    statuses = [int(each) for each in _STATUS.findall(answer)]
    if wrong := [status for status in statuses if status >= 500]:
        raise Fault(f"the server answers {wrong[0]}: {answer[-300:]!r}")
    if not statuses or statuses[0] >= 400:
        raise UserError(f"status {statuses[:1]}")


KINDS = (Kind("request to serve", _requests, mutated, _send, share=3),)
