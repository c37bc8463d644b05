"""A worker's link to the database, which a fault can cut: a relay, or a network namespace.

A relay that is cut keeps its connections open and moves no bytes, as a network does that has lost
a switch: neither side is notified. A namespace that is cut has its link down. Namespaces need root.
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


class Link(Protocol):
    """A network link that can be cut and restored."""

    def cut(self) -> None:
        """Let nothing through from now on."""

    def restore(self) -> None:
        """Let everything through again."""


class Relay:
    """Moves bytes between a TCP port of ``host`` and the Unix socket ``target`` until closed."""

    def __init__(self, target: Path, *, host: str = "127.0.0.1") -> None:
        self.host, self._target = host, str(target)
        self._flowing, self._refusing, self._closed = (threading.Event() for _ in range(3))
        self._flowing.set()
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name=f"relay-{self.port}", daemon=True).start()

    def cut(self) -> None:
        """Move nothing from now on; connections stay open."""
        self._flowing.clear()

    def restore(self) -> None:
        """Move everything again, beginning with the bytes that piled up."""
        self._flowing.set()

    def refuse(self) -> None:
        """End every connection and every new one at once."""
        self._refusing.set()

    def admit(self) -> None:
        """Let connections in again."""
        self._refusing.clear()

    def lead_to(self, target: Path) -> None:
        """Connect new clients to another socket; connections that exist keep theirs."""
        self._target = str(target)

    def close(self) -> None:
        """End every connection."""
        self._closed.set()
        self._flowing.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            with suppress(OSError):  # the listener was closed, or the client has left again
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            # If either side closes, or the database is away, the connection ends.
            with suppress(OSError):
                server.connect(self._target)
                self._pump(client, server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        peer = {client: server, server: client}
        while not (self._closed.is_set() or self._refusing.is_set()):
            self._flowing.wait()
            ready, _, _ = select.select([client, server], [], [], _POLL_S)
            for source in ready:
                # A cut after the wait must not let a last packet through.
                if self._flowing.is_set():
                    if not (data := source.recv(_CHUNK)):
                        return
                    peer[source].sendall(data)


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

    def restore(self) -> None:
        """Take the link up."""
        _ip("link", "set", self._link, "up")

    def close(self) -> None:
        """Remove the namespace and its link."""
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)


def enter_namespace(name: str) -> None:
    """Move this process, which must have one thread, into a network namespace. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/var/run/netns/{name}") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {name}")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
