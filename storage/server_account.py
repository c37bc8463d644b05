"""The user that runs the embedded server if this process is root: PostgreSQL refuses root.

That user needs search permission on the folders above its files. It is given where it is missing,
said in a warning, and taken back when the server stops.
"""

import json
import logging
import os
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

log = logging.getLogger(__name__)

_NAME = "pgserver"
_OPENED = "postgres.opened.json"


@dataclass(frozen=True)
class Account:
    """A user of the system, with a group of its own."""

    name: str
    uid: int
    gid: int

    def may_pass(self, folder: Path) -> bool:
        """Return whether the user may search a folder, by its mode."""
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def server_account() -> Account | None:
    """Return the server's user, created if it is missing; None if this process is not root.

    Raises UserError if it cannot be created, or is in root's group.
    """
    if os.geteuid() != 0:
        return None
    import pwd

    try:
        found = pwd.getpwnam(_NAME)
    except KeyError:
        _add_user()
        found = pwd.getpwnam(_NAME)
    if found.pw_uid == 0 or found.pw_gid == 0:
        raise UserError(f"the user {_NAME}, which runs the embedded PostgreSQL, has root's rights; give it a group")
    return Account(_NAME, found.pw_uid, found.pw_gid)


def _add_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        raise UserError(
            f"cannot create the user {_NAME}, which runs the embedded PostgreSQL for root; create it, run venation as"
            " another user, or give the URL of a server with --storage"
        ) from None


def open_way(account: Account, files: Iterable[Path], home: Path) -> None:
    """Let the user search the folders above ``files``, and note the changes in ``home``."""
    folders = {folder for path in files for folder in path.parents}
    closed = [folder for folder in sorted(folders) if not account.may_pass(folder)]
    if not closed:
        return
    opened = _read_opened(home)
    for folder in closed:
        mode = stat.S_IMODE(folder.stat().st_mode)
        opened.setdefault(str(folder), mode)
        folder.chmod(mode | stat.S_IXOTH)
    (home / _OPENED).write_text(json.dumps(opened))
    log.warning(
        "the embedded PostgreSQL runs as the user %s: until `venation db stop`, other users may pass through %s, but"
        " not list it; set VENATION_HOME to a folder outside to avoid it",
        account.name,
        ", ".join(map(str, closed)),
    )


def close_way(home: Path) -> None:
    """Take back what ``open_way`` gave, unless the mode was changed since."""
    for name, mode in _read_opened(home).items():
        folder = Path(name)
        if folder.is_dir() and stat.S_IMODE(folder.stat().st_mode) == mode | stat.S_IXOTH:
            folder.chmod(mode)
    (home / _OPENED).unlink(missing_ok=True)


def _read_opened(home: Path) -> dict[str, int]:
    try:
        return {str(name): int(mode) for name, mode in json.loads((home / _OPENED).read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
