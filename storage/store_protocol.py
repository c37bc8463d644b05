"""What every artifact store can do, what it says of a file, and how it fails: in one line."""

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

from optuna.artifacts.exceptions import ArtifactNotFound

from ..errors import UserError

__all__ = [
    "Artifacts",
    "Entry",
    "Store",
    "StoreFailed",
    "check_id",
    "check_writable",
    "disk_errors",
    "fetched",
    "holds",
    "one_line",
    "store_copy",
]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FULL = (ENOSPC, EDQUOT, EFBIG)
_IN_MEMORY = 8 << 20  # bytes of a copy that need no file


class StoreFailed(UserError):
    """The store cannot be used now: full, unreachable, without rights. It says nothing against a trial."""


class StoreFull(StoreFailed):
    """There is no room left on the store's disk: there may be some later."""


@dataclass(frozen=True)
class Entry:
    """One file of a store: its size in bytes, and when it was stored, in seconds since 1970."""

    artifact_id: str
    size: int
    modified: float


class Store(Protocol):
    """Optuna's artifact store: what the dashboard is given, and what most functions need."""

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open for reading, or raise optuna's ArtifactNotFound."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store all of ``content_body``, in place of what was there, whole or not at all."""

    def remove(self, artifact_id: str) -> None:
        """Delete, or raise optuna's ArtifactNotFound."""


class Artifacts(Store, Protocol):
    """The artifact store of a service, wherever it lies. Every method raises StoreFailed where it cannot be used."""

    def link(self, artifact_id: str, path: Path) -> None:
        """Store the file ``path``, which is soon replaced and not changed in place: as cheaply as the store can."""

    def entries(self) -> Iterator[Entry]:
        """All files of the store, in no order."""

    def sweep(self) -> None:
        """Delete what writers left that were killed over a day ago."""


def check_writable(store: Store) -> None:
    """Raise StoreFailed where nothing may be stored: better before an hour of training than after it.

    A disk that is full now may have room by then, and a trial waits for it.
    """
    artifact_id = f"venation-check-{uuid.uuid4()}"
    with suppress(StoreFull):
        store.write(artifact_id, io.BytesIO(b"x"))
        store.remove(artifact_id)


def check_id(artifact_id: str) -> str:
    """``artifact_id`` if it is a plain name, so that it leads nowhere else; raises UserError otherwise."""
    if not _ID.fullmatch(artifact_id):
        raise UserError(
            f"{artifact_id!r} is no artifact id; ids are letters, digits, dots, dashes and underscores, 128 at most"
        )
    return artifact_id


def holds(store: Store, artifact_id: str) -> bool:
    """Whether the store has bytes under this id."""
    try:
        store.open_reader(artifact_id).close()
    except ArtifactNotFound:
        return False
    return True


@contextmanager
def disk_errors(action: str) -> Iterator[None]:
    """An OSError inside becomes a StoreFailed in one line that says what was tried: ``cannot <action>: <reason>``."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        advice = "free space there, or give another folder with --artifacts" if full else "see to the folder's rights"
        failure = StoreFull if full else StoreFailed
        raise failure(f"cannot {action}: {error.strerror or error}; {advice}") from None


def fetched(fetch: Callable[[BinaryIO], object]) -> BinaryIO:
    """What ``fetch`` writes into the file that it is given, to be read from its beginning."""
    copy = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))
    try:
        fetch(copy)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def store_copy(store: Store, artifact_id: str, path: Path) -> None:
    """Store the file ``path``: a bucket can only copy it. Raises StoreFailed."""
    with disk_errors(f"read {path}"), path.open("rb") as body:
        store.write(artifact_id, body)


def one_line(error: Exception) -> str:
    """What a library said, as a part of one line."""
    return " ".join(str(error).split())[:300].rstrip(".")
