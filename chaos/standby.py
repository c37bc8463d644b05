"""A database failover: a standby follows the embedded server, which dies; it takes its place.

The standby is a copy by pg_basebackup that streams the primary's log. The primary confirms no
transaction that the standby does not have (synchronous replication), so none that a client knows to
be committed is lost.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import psycopg2

from ..errors import UserError
from ..storage import embedded
from ..storage.postmaster import OWNER, TIMEOUT_S, first_line, run_program, start_server
from ..storage.server_account import close_way, server_account

_LOGINS = "venation.hba.conf"
_REPLICATION = "local replication all peer map=venation\n"


def server_socket(url: str) -> Path:
    """Return the Unix socket in the URL of an embedded server."""
    query = parse_qs(urlsplit(url).query)
    return Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"


def fail_over(homes: Sequence[Path]) -> Path:
    """Move the embedded server to the other one of two ``homes``; return its new socket.

    Makes a standby there, waits until it has everything, kills the primary with all its sessions,
    and promotes the standby. Then VENATION_HOME is the other home. Raises UserError if the standby
    cannot be made.
    """
    old = embedded.home()
    new = next(home for home in homes if home != old)
    data = new / "postgres"
    start_standby(data)
    running = embedded.status()
    assert running is not None
    kill_family(running["pid"])
    with closing(_connect(_socket_folder(data))) as standby, standby.cursor() as cursor:
        cursor.execute("SELECT pg_promote(true, %s)", (TIMEOUT_S,))
    close_way(old)
    os.environ["VENATION_HOME"] = str(new)
    return server_socket(embedded.start())


def start_standby(data: Path) -> None:
    """Make a synchronous standby of the embedded server in ``data``, and wait until it streams."""
    primary, account = server_socket(embedded.start()).parent, server_account()
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(mode=0o700)
    if account is not None:
        os.chown(data, account.uid, account.gid)
    with closing(_connect(primary)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        _admit_replication(embedded.home() / "postgres", cursor)
        # -R: the copy starts as a standby of its source.
        copy = ("-h", str(primary), "-U", OWNER, "-D", str(data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        try:
            run_program("pg_basebackup", *copy, account=account, cwd=data.anchor)
        except (subprocess.SubprocessError, OSError) as error:
            raise UserError(f"cannot copy the database to a standby: {first_line(error)}") from None
        for copied in data.glob(".s.PGSQL.*"):
            copied.unlink()  # the lock of the primary's socket, which is in its data folder
        start_server(data)
        cursor.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        cursor.execute("SELECT pg_reload_conf()")
        _wait_for_sync(cursor)


def kill_family(pid: int) -> None:
    """Kill a process and its children with SIGKILL, as a machine dies, and wait for their end."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        deadline = time.monotonic() + TIMEOUT_S
        # A zombie has ended; psutil's own wait lasts until its parent takes note, in a container
        # perhaps never.
        while any(embedded.is_alive(process) for process in family) and time.monotonic() < deadline:
            time.sleep(0.02)


def _admit_replication(data: Path, cursor: Any) -> None:
    logins = data / _LOGINS
    if _REPLICATION not in logins.read_text():
        with logins.open("a") as file:
            file.write(_REPLICATION)
        cursor.execute("SELECT pg_reload_conf()")


def _wait_for_sync(cursor: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        cursor.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
        if cursor.fetchone() == (1,):
            return
        time.sleep(0.05)
    raise UserError(f"the standby did not reach the primary within {TIMEOUT_S} s")


def _socket_folder(data: Path) -> Path:
    return Path((data / "postmaster.pid").read_text().splitlines()[4].strip())


def _connect(folder: Path) -> Any:
    return psycopg2.connect(host=str(folder), user=OWNER, dbname=OWNER, connect_timeout=30)
