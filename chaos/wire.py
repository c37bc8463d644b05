"""A worker's way to the database as something that can be cut: a relay, and where root allows it a network of its own.

A relay that is cut keeps its connections and moves nothing, as a network does that has lost a switch: neither side is
told. A namespace that is cut has its link down.
"""

import ctypes
import os
import select
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_CHUNK = 1 << 16
_POLL_S = 0.2
_CLONE_NEWNET = 0x40000000


class Cuttable(Protocol):
    """What can be cut and mended again."""

    def cut(self) -> None:
        """Let nothing through from now on."""

    def mend(self) -> None:
        """Let everything through again."""


class Relay:
    """Moves bytes between a TCP port of ``host`` and the Unix socket ``target`` until it is closed."""

    def __init__(self, target: Path, *, host: str = "127.0.0.1") -> None:
        self._target = str(target)
        self._flows, self._closed = threading.Event(), threading.Event()
        self._flows.set()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"relay-{self.port}", daemon=True).start()

    def cut(self) -> None:
        """Move nothing from now on; connections stay open."""
        self._flows.clear()

    def mend(self) -> None:
        """Move everything again, what had piled up first."""
        self._flows.set()

    def close(self) -> None:
        """End every connection."""
        self._closed.set()
        self._flows.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with suppress(OSError):  # the listener was closed, or the client has gone again
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            with suppress(OSError):  # an end of either side, or a database that is away, ends the connection
                server.connect(self._target)
                self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        while not self._closed.is_set():
            self._flows.wait()
            ready, _, _ = select.select([client, server], [], [], _POLL_S)
            for end in ready:
                # A cut between the two looks must not let a last packet through.
                if self._flows.is_set():
                    if not (data := end.recv(_CHUNK)):
                        return
                    other[end].sendall(data)


class Namespace:
    """A network namespace whose only link leads to this machine; needs root and the program ``ip``.

    Raises CalledProcessError, FileNotFoundError or PermissionError where that is not allowed.
    """

    def __init__(self, number: int) -> None:
        self.name = f"vchaos{os.getpid() % 10000}-{number}"
        self._link = f"vc{os.getpid() % 10000}n{number}"
        net = f"10.213.{os.getpid() % 256}"
        self.host = f"{net}.{4 * number + 1}"
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            _ip("addr", "add", f"{self.host}/30", "dev", self._link)
            _ip("link", "set", self._link, "up")
            _ip("-n", self.name, "addr", "add", f"{net}.{4 * number + 2}/30", "dev", "eth0")
            _ip("-n", self.name, "link", "set", "eth0", "up")
            _ip("-n", self.name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError:
            self.close()
            raise

    def cut(self) -> None:
        """Take the link down."""
        _ip("link", "set", self._link, "down")

    def mend(self) -> None:
        """Take the link up."""
        _ip("link", "set", self._link, "up")

    def close(self) -> None:
        """Remove the namespace and its link."""
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)


def enter(namespace: str) -> None:
    """Move this process, which has one thread, into a namespace. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/var/run/netns/{namespace}") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
