"""Write files atomically: to a temporary file that is renamed at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, fsync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it replaces ``path`` if the block succeeds.

    The folder is created if needed. With ``fsync`` the content is on the disk before the rename.
    Without it the file survives the end of the process, but perhaps not a power failure. After an
    error the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield aside
        if fsync:
            with aside.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
