"""Decide from a request's headers whether it may reach a server: Host, Origin and method.

A page of another site can make a browser send requests to this machine. Its own name in ``Host``
(DNS rebinding) or in ``Origin`` (a forged request) gives it away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

READING = ("GET", "HEAD")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """The names under which a server may be addressed, and whether requests may change anything.

    ``host`` is the address that it listens on, ``names`` are further ones, such as a proxy's.
    """

    host: str
    names: tuple[str, ...] = ()
    write: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only processes of this machine reach the server."""
        return self.host in _LOOPBACK or _is_ip(self.host, loopback=True)

    def refusal(self, method: str, headers: Mapping[str, str], *, changes_nothing: bool = False) -> str | None:
        """Return one line that says why a request is refused; None if it may pass.

        ``headers`` are by lower-case name. ``changes_nothing`` is True for a request whose method
        says otherwise.
        """
        host = headers.get("host", "")
        if not self._is_known(_hostname(host)):
            return f"this server does not answer to the name {host[:80]!r}; allow it with --allow-host"
        origin = headers.get("origin")
        if origin is not None and not self._is_own(origin, host):
            return f"requests from pages of {origin[:80]!r} are refused; allow a proxy's name with --allow-host"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_link(method, headers):
            return "requests from pages of other sites are refused"
        if not (self.write or changes_nothing or method in READING):
            return "the dashboard is read-only; start it with --write to change studies here"
        return None

    def _is_known(self, name: str | None) -> bool:
        if name is None:
            return False
        # A page that rebinds a name has a name: an address as Host is the server's own. It may be
        # one that a container does not know.
        return name in (*_LOOPBACK, self.host.lower(), *map(str.lower, self.names)) or (
            not self.is_local and _is_ip(name)
        )

    def _is_own(self, origin: str, host: str) -> bool:
        try:
            place = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        # A proxy may replace Host, but not Origin. Other ports of this machine are other pages.
        return place == host.lower() or (_hostname(place) or "") in map(str.lower, self.names)


def _hostname(netloc: str) -> str | None:
    """Return the name of ``NAME`` or ``NAME:PORT`` in lower case; None if it has another form."""
    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
    except ValueError:
        return None
    name = (parts.hostname or "").rstrip(".")
    shown = f"[{name}]" if ":" in name else name
    forms = (shown, f"{shown}.") if port is None else (f"{shown}:{port}", f"{shown}.:{port}")
    return name if name and netloc.lower() in forms else None


def _is_ip(name: str, *, loopback: bool = False) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback if loopback else True


def _is_link(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a user followed a link, not a page loading a part or posting a form."""
    fetched = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return fetched == ("navigate", "document") and method in READING
