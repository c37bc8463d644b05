"""Guard an ASGI application: the rules of a gate, safe headers, uploads that are refused early."""

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..web.answers import PRIVATE, Answer, redirect
from ..web.gate import MAX_FORM, Gate, Request, without_root

HEALTH = "/healthz"
# Scripts, styles and pictures of this server only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (name.lower().encode(), value.encode())
    for name, value in (*PRIVATE, ("Content-Security-Policy", _POLICY), ("Cache-Control", "no-store"))
]
# Time in which what a refused sender still sends is thrown away: a connection that is closed at
# once would lose the answer.
_LINGER_S = 1.0


@dataclass(frozen=True)
class Guard:
    """An ASGI application in front of another one."""

    application: ASGIApp
    gate: Gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            return
        path = without_root(scope["path"], self.gate.root)
        scope = {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}
        exchange, answer = _Exchange(scope, receive, send), None
        if path != HEALTH:
            request = await self._request(scope, exchange.receive)
            # In a thread: the hash of a password takes a while.
            answer = await asyncio.to_thread(self.gate.answer, request)
            if answer is None and path == "":
                answer = redirect(f"{self.gate.root}/")
        if answer is None:
            await self.application(scope, exchange.receive, exchange.send)
        else:
            await _send(answer, scope["method"], exchange.send)

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        form = await _form(receive) if self.gate.is_login(scope["method"], scope["path"]) else b""
        return Request(scope["method"], scope["path"], query, headers, scope["scheme"], form)


async def _form(receive: Receive) -> bytes:
    """Return the body of a posted form; nothing of one that is too long."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_FORM:
            return b""
        if not message.get("more_body", False):
            return body


async def _send(answer: Answer, method: str, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.fields]
    await send({"type": "http.response.start", "status": int(answer.status.split()[0]), "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.content})


class _Exchange:
    """Receive and send one request and its answer.

    Answers get safe headers. The connection of an upload that was refused before its end is closed.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._ended = scope["method"] != "POST"
        self._refused = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._ended = self._ended or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._refused = message["status"] >= 400 and not self._ended
            closing = [(b"connection", b"close")] if self._refused else []
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS, *closing]}
        elif self._refused and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drain(), _LINGER_S)
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        while not self._ended:
            await self.receive()
