"""A PostgreSQL server that asks for passwords (scram-sha-256), over TCP on a free port.

It runs the programs of the embedded server, or the system's, for example of Debian's package
``postgresql``.
"""

import functools
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg2

from venation.storage.postmaster import run_program
from venation.storage.server_account import server_account

OWNER_PASSWORD = "owner's pass@word/%41"  # in a URL, all of its special characters are percent-encoded
_CONFIG = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\nmax_connections = 40\n"


@dataclass(frozen=True)
class LockedServer:
    """A running server: its port, and methods to connect as the owner, to stop and to start it."""

    port: int
    control: Callable[..., None]

    def stop(self) -> None:
        """Stop the server at once, without waiting for sessions."""
        self.control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start the server again, and wait until it accepts connections."""
        self.control("start")

    def url(self, user: str = "owner", password: str = OWNER_PASSWORD, database: str = "postgres") -> str:
        """Return the URL of a user, with the password percent-encoded."""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def sql(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the owner."""
        place = {"host": "127.0.0.1", "port": self.port, "dbname": database}
        with closing(psycopg2.connect(user="owner", password=OWNER_PASSWORD, **place)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)


def system_programs() -> Path | None:
    """Return the folder of the system's pg_ctl, initdb and postgres; None if there is no pg_ctl."""
    found = shutil.which("pg_ctl")
    return Path(found).resolve().parent if found else None


@contextmanager
def locked_server(programs: Path | None = None) -> Iterator[LockedServer]:
    """Run the server inside the block; ``programs`` defaults to those of the embedded server."""
    with tempfile.TemporaryDirectory(prefix="vn", ignore_cleanup_errors=True) as folder:
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(OWNER_PASSWORD + "\n")
        data.mkdir()
        account = server_account()
        if account is not None:  # PostgreSQL refuses root
            for path in (Path(folder), data, secret):
                shutil.chown(path, account.name)
        run = functools.partial(run_program, account=account, cwd=folder, folder=programs)
        login = ("--auth=scram-sha-256", f"--pwfile={secret}", "--username=owner")
        run("initdb", "-D", str(data), "--no-sync", "--encoding=utf8", *login)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with (data / "postgresql.conf").open("a") as config:
            config.write(f"{_CONFIG}port = {port}\n")

        def control(*words: str) -> None:
            run("pg_ctl", "-D", str(data), "-w", "-l", str(data / "server.log"), *words)

        running = LockedServer(port, control)
        running.start()
        try:
            yield running
        finally:
            running.stop()
