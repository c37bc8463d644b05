"""Scratch folders of running trials, which are removed even after their worker was killed.

They are in Venation's home. The system's folder for temporary files may be in memory, and no
process empties it on a machine that stays up: a killed worker leaves a checkpoint of hundreds of
megabytes.
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
_CREATION_S = 3600.0  # a folder without a lock file may be in creation


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Create a folder with a lock for this process; remove it after the block.

    The system releases the lock when the process dies. Raises UserError if the folder cannot be
    made.
    """
    try:
        folder = tempfile.TemporaryDirectory(dir=_root(), prefix="trial-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(
            f"cannot make a scratch folder in {home()}: {error.strerror}; free space there, or set VENATION_HOME"
        ) from None
    with folder as name, (Path(name) / _LOCK).open("w") as lock:
        with suppress(OSError):  # a network file system without locks: such folders are never removed
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def clear_scratch() -> int:
    """Remove the folders of killed workers where possible; return their number."""
    removed = 0
    with suppress(OSError, UserError):
        for folder in _root().iterdir():
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _root() -> Path:
    root = home() / "scratch"
    root.mkdir(exist_ok=True)
    return root


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > _CREATION_S
        return False
    except OSError:
        return False
    return True
