"""The interface of artifact stores, their errors, and functions that all of them share."""

import io
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from ..errors import UserError
from .not_found import not_found

__all__ = [
    "Artifacts",
    "Entry",
    "Store",
    "StoreFailed",
    "check_id",
    "check_writable",
    "disk_errors",
    "download",
    "has_artifact",
    "one_line",
    "upload_file",
]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FULL = (ENOSPC, EDQUOT, EFBIG)
_IN_MEMORY = 8 << 20  # bytes of a copy that need no file


class StoreFailed(UserError):
    """The store is full, unreachable or forbidden now; the trial is not at fault."""


class StoreFull(StoreFailed):
    """The store's disk is full; there may be room later."""


@dataclass(frozen=True)
class Entry:
    """One file of a store: its size in bytes and its time of storing in seconds since 1970."""

    artifact_id: str
    size: int
    modified: float


class Store(Protocol):
    """Optuna's interface of an artifact store, which the dashboard and most functions use."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open a file for reading. Raises Optuna's ArtifactNotFound."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store all of ``content_body`` atomically, in place of an earlier file."""

    def remove(self, artifact_id: str) -> None:
        """Delete a file. Raises Optuna's ArtifactNotFound."""


class Artifacts(Store, Protocol):
    """The artifact store of a service; its methods raise StoreFailed if it cannot be used."""

    def link(self, artifact_id: str, path: Path) -> None:
        """Store the file ``path`` cheaply; the caller does not change it in place later."""

    def entries(self) -> Iterator[Entry]:
        """Yield all files of the store, in any order."""

    def sweep(self) -> None:
        """Delete incomplete files that writers left over a day ago."""


def check_writable(store: Store) -> None:
    """Raise StoreFailed if the store cannot be written to; call it before a long training.

    A full disk is no error here: there may be room later, and a trial is tried again.
    """
    artifact_id = f"venation-check-{uuid.uuid4()}"
    with suppress(StoreFull):
        store.write(artifact_id, io.BytesIO(b"x"))
        store.remove(artifact_id)


def check_id(artifact_id: str) -> str:
    """Return ``artifact_id``; raise UserError if it is not safe as a file name."""
    if not _ID.fullmatch(artifact_id):
        raise UserError(
            f"{artifact_id!r} is no artifact id; ids are letters, digits, dots, dashes and underscores, 128 at most"
        )
    return artifact_id


def has_artifact(store: Store, artifact_id: str) -> bool:
    """Return whether the store has a file of this id."""
    try:
        store.open_reader(artifact_id).close()
    except not_found():
        return False
    return True


@contextmanager
def disk_errors(action: str) -> Iterator[None]:
    """Turn an OSError inside the block into StoreFailed: ``cannot <action>: <reason>``."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        space = "free space there, or give another folder with --artifacts"
        advice = space if full else "check the permissions of the folder"
        failure = StoreFull if full else StoreFailed
        raise failure(f"cannot {action}: {error.strerror or error}; {advice}") from None


def download(fetch: Callable[[BinaryIO], object]) -> BinaryIO:
    """Call ``fetch`` with a temporary file to write to; return the file, ready to be read."""
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))
    try:
        fetch(copy)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def upload_file(store: Store, artifact_id: str, path: Path) -> None:
    """Store a copy of the file ``path``, as buckets cannot link to it. Raises StoreFailed."""
    with disk_errors(f"read {path}"), path.open("rb") as body:
        store.write(artifact_id, body)


def one_line(error: Exception) -> str:
    """Return the message of an error as part of one line, cut to 300 characters."""
    return " ".join(str(error).split())[:300].rstrip(".")
