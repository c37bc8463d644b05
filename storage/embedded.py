"""The embedded PostgreSQL: one server per home folder for all local processes."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import quote

import platformdirs
import psutil
import psycopg2

from ..errors import UserError
from .postmaster import OWNER, TIMEOUT_S, first_line, log_file, start_server, stop_server, write_file
from .server_account import server_account

DATABASE = "venation"
USER = "venation"  # owns the database, and is no superuser
_HOST = "venation.host"
_CHILDREN_EXIT_S = 15
# The statements that give tables and enumerations of an owner to the database's user. A sequence
# follows its table.
_OWNED = f"""
SELECT format('ALTER TABLE %%s OWNER TO {USER}', oid::regclass) FROM pg_class
WHERE relkind IN ('r', 'p', 'v') AND relnamespace = 'public'::regnamespace AND pg_get_userbyid(relowner) = %s
UNION ALL
SELECT format('ALTER TYPE %%s OWNER TO {USER}', oid::regtype) FROM pg_type
WHERE typtype = 'e' AND typnamespace = 'public'::regnamespace AND pg_get_userbyid(typowner) = %s
"""
_RECOVERING = ("starting up", "recovery mode", "not yet accepting")


class EmbeddedStatus(TypedDict):
    """A running embedded server: its database's URL, process id, data folder and log file."""

    url: str
    pid: int
    folder: str
    log: str


def home() -> Path:
    """Return Venation's folder on this machine: ``VENATION_HOME``, or the user's data folder.

    Creates a missing folder. Raises UserError if that fails.
    """
    given = os.environ.get("VENATION_HOME")
    path = Path(given).expanduser() if given else Path(platformdirs.user_data_dir("venation", appauthor=False))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the home folder {path}: {error.strerror}; set VENATION_HOME to another") from None
    return path.resolve()


def start() -> str:
    """Start the server of ``home()`` unless it runs, create its database, and return the URL.

    Several processes may call this at once: they share one server, which outlives them. Raises
    UserError.
    """
    data = _data()
    running = _running(data)
    if running is not None and _accepts_connections(running["url"]):
        return running["url"]
    with _lock(data):
        running = _running(data)
        if running is None:
            _check_owner(data)
            _clean_up_crash(data)
            start_server(data)
            write_file(data / _HOST, socket.gethostname(), server_account())
            running = _running(data)
        if running is None:
            raise UserError(f"the embedded PostgreSQL ended as soon as it had started; read {log_file(data)}")
        _make_database(data, running["url"])
        return running["url"]


def stop() -> bool:
    """Stop the server of ``home()`` and end its sessions; return False if none ran.

    Raises UserError.
    """
    data = _data()
    with _lock(data):
        if _running(data) is None:
            return False
        stop_server(data)
        return True


def status() -> EmbeddedStatus | None:
    """Return the running server of ``home()``, or None."""
    return _running(_data())


def _data() -> Path:
    if sys.platform == "win32":
        raise UserError("the embedded PostgreSQL runs on Linux and macOS only; give the URL of a server with --storage")
    return home() / "postgres"


def _running(data: Path) -> EmbeddedStatus | None:
    """Return the server of ``postmaster.pid`` if it runs on this machine.

    The lines of that file are: process id, data folder, start time, port, socket folder.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(lines) < 5 or not _is_server(int(lines[0]), data):
        return None
    folder = quote(lines[4].strip())
    url = f"postgresql+psycopg2://{USER}@/{DATABASE}?host={folder}&port={lines[3].strip()}"
    return EmbeddedStatus(url=url, pid=int(lines[0]), folder=str(data), log=str(log_file(data)))


def _is_server(pid: int, data: Path) -> bool:
    """Return whether ``pid`` is this folder's server, not a zombie or another program."""
    try:
        # While a data folder is being set up, its file has a negative number: not yet a server.
        return pid > 0 and str(data) in psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _clean_up_crash(data: Path) -> None:
    """Wait for the child processes of a killed server, and remove lock files with a reused number.

    PostgreSQL itself ignores a lock file whose process no longer exists.
    """
    family = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(data)]
    deadline = time.monotonic() + _CHILDREN_EXIT_S
    while any(is_alive(process) for process in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid_file = data / "postmaster.pid"
    if pid_file.exists():
        pid, _, _, port, folder, *_ = [*pid_file.read_text().splitlines(), *[""] * 5]
        if pid.isdigit() and psutil.pid_exists(int(pid)):
            pid_file.unlink()
            if port.strip().isdigit():
                (Path(folder.strip()) / f".s.PGSQL.{port.strip()}.lock").unlink(missing_ok=True)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; a zombie does not, which in a container may stay for ever."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _accepts_connections(url: str) -> bool:
    """Return whether the server accepts connections and its database exists."""
    try:
        psycopg2.connect(url.replace("+psycopg2", ""), connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True


@contextmanager
def _lock(data: Path) -> Iterator[None]:
    """Exclude other processes of this machine; the system frees a dead holder's lock."""
    import fcntl

    try:
        handle = (data.parent / "postgres.lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to {data.parent}: {error.strerror}; set VENATION_HOME to another") from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _check_owner(data: Path) -> None:
    """Raise UserError if another machine uses the data folder: two servers would destroy it."""
    owner = data / _HOST
    if not (data / "postmaster.pid").exists() or not owner.exists():
        return
    host = owner.read_text().strip()
    if host != socket.gethostname():
        raise UserError(
            f"{data} is in use by the embedded PostgreSQL of machine {host}; give this machine another VENATION_HOME, "
            f"or, if that server is dead, remove {data / 'postmaster.pid'}"
        )


def _make_database(data: Path, url: str) -> None:
    """Create the database and its user, or give them what version 0.1 gave to the superuser."""
    as_owner = url.replace("+psycopg2", "").replace(f"{USER}@", f"{OWNER}@")
    with _session(data, as_owner.replace(f"/{DATABASE}?", f"/{OWNER}?")) as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {USER} LOGIN")
        cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (DATABASE,))
        owner = cursor.fetchone()
        if owner is None:
            cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {USER}")
    if owner == (OWNER,):
        with _session(data, as_owner) as cursor:
            cursor.execute(_OWNED, (OWNER, OWNER))
            for (statement,) in cursor.fetchall():
                cursor.execute(statement)
            cursor.execute(f"ALTER DATABASE {DATABASE} OWNER TO {USER}")


@contextmanager
def _session(data: Path, url: str) -> Iterator[Any]:
    """Yield a cursor whose statements are committed one by one."""
    connection = _connect(data, url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def _connect(data: Path, url: str) -> Any:
    """Connect with psycopg2; wait for a server that recovers from a crash."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return psycopg2.connect(url, connect_timeout=30)
        except psycopg2.OperationalError as error:
            if not any(word in str(error) for word in _RECOVERING) or time.monotonic() > deadline:
                raise UserError(
                    f"the embedded PostgreSQL does not answer ({first_line(error)}); read {log_file(data)}"
                ) from None
        time.sleep(0.1)
