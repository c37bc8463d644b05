"""Files are written aside and renamed, so that nobody ever reads half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """A path in the same folder to write to; it takes the place of ``path`` when the block ends without an error.

    The folder is made if need be. The file is on the disk before it is renamed, unless ``synced`` is False: then it
    survives the end of the process, but perhaps not a power cut. After an error nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield aside
        if synced:
            with aside.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
