"""The address of a server: its port, its path behind a proxy, and who reaches it."""

import re
import socket

from ..errors import UserError
from .access import Access

_ROOT = re.compile(r"(/[\w.~-]+)*")


def check_root(path: str) -> str:
    """Return a path of a proxy without its last slash, empty or like ``/lab``.

    Raises UserError for a path that is none.
    """
    root = path.rstrip("/")
    if not _ROOT.fullmatch(root):
        raise UserError(f"--root-path {path[:80]!r} is no path; write one such as /lab/venation.")
    return root


def listen(access: Access, port: int) -> socket.socket:
    """Return a socket that listens on the host of ``access``; port 0 takes any free port.

    Raises UserError if the address is taken or none of this machine.
    """
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        return socket.create_server((access.host, port), family=family, backlog=128)
    except OSError as error:
        raise cannot_listen(access.host, port, error) from None


def cannot_listen(host: str, port: int, error: OSError) -> UserError:
    """Return the error of an address that cannot be listened on."""
    return UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port.")


def url(host: str, port: int, root: str) -> str:
    """Return the URL of a server for people."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{root}"
