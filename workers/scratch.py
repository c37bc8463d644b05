"""Folders for what a running trial writes, which are removed also where its worker was killed.

They lie in Venation's home, not in the system's folder for temporary files, which may be memory, and which nobody
empties on a machine that stays up: a killed worker leaves a checkpoint of hundreds of megabytes.
"""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError
from ..storage.embedded import home

_LOCK = "lock"
_UNBORN_S = 3600.0  # a folder without its lock file may be one that is being made


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of this process's own, gone after the block. Raises UserError where it cannot be made.

    While the block lasts the folder's lock is held. The system lets go of it when the process dies, however it does.
    """
    try:
        folder = tempfile.TemporaryDirectory(dir=_root(), prefix="trial-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot make a scratch folder in {home()}: {error.strerror}; free space there, or set VENATION_HOME"
        ) from None
    with folder as name, (Path(name) / _LOCK).open("w") as lock:
        with suppress(OSError):  # a network's file system without locks: then nobody gets this one, and all stays
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def clear_scratch() -> int:
    """Remove the folders that killed workers left; returns how many. What cannot be removed stays."""
    removed = 0
    with suppress(OSError, UserError):
        for folder in _root().iterdir():
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _root() -> Path:
    root = home() / "scratch"
    root.mkdir(exist_ok=True)
    return root


def _is_left(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > _UNBORN_S
        return False
    except OSError:
        return False
    return True
