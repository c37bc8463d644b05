"""Servers for tests of object stores: a proxy that fails on demand, and a minimal GCS."""

import base64
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import google_crc32c


class Misbehaving(ThreadingHTTPServer):
    """A server that fails requests of one method as planned, and then answers normally.

    The plan has one step per request. A step is a status code, ``cut`` (half of the content) or
    ``hang``.
    """

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.method = ""
        self.plan: list[int | str] = []
        self.requests: list[str] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def expect(self, method: str, *plan: int | str) -> None:
        """Set the plan for the next requests of ``method``."""
        self.method, self.plan, self.requests = method, list(plan), []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Misbehaving

    def log_message(self, *_: object) -> None:
        """Suppress the log, which would mix with the test's output."""

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        step: int | str | None = None
        if self.command == self.server.method and self.planned():
            self.server.requests.append(self.path)
            step = self.server.plan.pop(0) if self.server.plan else None
        if step == "hang":
            self.server.released.wait(30)
            self.close_connection = True
        elif isinstance(step, int):
            self.reply(step, b"")
        else:
            self.answer(body, cut=step == "cut")

    def planned(self) -> bool:
        """Return whether the plan applies to this request."""
        return True

    def answer(self, body: bytes, *, cut: bool) -> None:
        raise NotImplementedError

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        self.send_response(status)
        given = {"Content-Length": str(len(content))} | (headers or {})
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any


@contextmanager
def served(handler: type[_Handler], **attributes: Any) -> Iterator[Misbehaving]:
    """Run a server of ``handler`` in a thread inside the block."""
    server = Misbehaving(handler)
    for name, value in attributes.items():
        setattr(server, name, value)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Proxy(_Handler):
    """A handler that forwards requests to the server's ``target`` (host and port)."""

    def answer(self, body: bytes, *, cut: bool) -> None:
        host, port = self.server.target  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection(host, port)
        connection.request(self.command, self.path, body or None, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "date")}
        if self.command != "HEAD":
            headers |= {"Content-Length": str(len(content))}
        connection.close()
        self.reply(answer.status, content, headers, cut=cut)


class Gcs(_Handler):
    """A handler for one bucket of Google Cloud Storage.

    It implements the parts of the JSON API that the tests use. The server has the ``bucket`` and
    its ``objects``. The metadata of the bucket, which Google's library requests, need a right that
    users of objects do not have, so that request is refused.
    """

    def planned(self) -> bool:
        return urlsplit(self.path).path != "/storage/v1/b/lab"

    def answer(self, body: bytes, *, cut: bool) -> None:
        url, objects = urlsplit(self.path), self.server.objects  # type: ignore[attr-defined]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        bucket, _, name = url.path.partition("/b/")[2].partition("/o")
        name = unquote(name.removeprefix("/"))
        if not self.planned():
            self.reply(403, b'{"error": {"code": 403, "message": "Forbidden"}}')
        elif bucket != self.server.bucket or (name and name not in objects):  # type: ignore[attr-defined]
            self.reply(404, b'{"error": {"code": 404, "message": "Not Found"}}')
        elif query.get("uploadType") == "resumable" and self.command == "POST":
            name = json.loads(body)["name"]
            self.reply(200, b"", {"Location": f"{self.server.url}{self.path}&name={name}"})
        elif query.get("uploadType") == "resumable":
            self._keep(query["name"], body)
        elif self.command == "POST":
            kind = re.search(r"boundary=['\"]?([^'\";]+)", self.headers["Content-Type"])
            assert kind is not None
            _, meta, data, _ = body.split(b"--" + kind[1].encode())
            content = data.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
            self._keep(json.loads(meta.partition(b"\r\n\r\n")[2])["name"], content)
        elif self.command == "DELETE":
            del objects[name]
            self.reply(204, b"")
        elif query.get("alt") == "media":
            self._send(objects[name][0], cut=cut)
        else:
            prefix = query.get("prefix", "")
            found = [key for key in sorted(objects) if key.startswith(prefix) and "/" not in key[len(prefix) :]]
            self.reply(200, json.dumps({"items": [self._meta(key) for key in found]}).encode())

    def _keep(self, name: str, content: bytes) -> None:
        self.server.objects[name] = (content, time.time())  # type: ignore[attr-defined]
        self.reply(200, json.dumps(self._meta(name)).encode())

    def _send(self, content: bytes, *, cut: bool) -> None:
        """Send the requested range of an object, with the checksum of the whole object."""
        start = re.fullmatch(r"bytes=(\d+)-.*", self.headers.get("Range") or "")
        first = int(start[1]) if start else 0
        headers = {"X-Goog-Hash": f"crc32c={_crc32c(content)}"}
        if first:
            headers |= {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"}
        self.reply(206 if first else 200, content[first:], headers, cut=cut)

    def _meta(self, name: str) -> dict[str, str]:
        content, stored = self.server.objects[name]  # type: ignore[attr-defined]
        updated = datetime.fromtimestamp(stored, UTC).isoformat().replace("+00:00", "Z")
        return {"name": name, "size": str(len(content)), "updated": updated, "crc32c": _crc32c(content)}


def _crc32c(content: bytes) -> str:
    return base64.b64encode(google_crc32c.value(content).to_bytes(4)).decode()
