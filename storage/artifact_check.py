"""Compare the files of an artifact store with their records in the database."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from .not_found import not_found
from .records import Record
from .store_protocol import Store

Status = Literal["ok", "unhashed", "missing", "damaged"]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Finding:
    """The status of a recorded file, and its ``size`` in bytes, 0 if it is missing.

    An ``unhashed`` file exists, but its record has no hash: the dashboard uploads such files.
    """

    record: Record
    status: Status
    size: int


def check_files(store: Store, records: Iterable[Record]) -> Iterator[Finding]:
    """Read every file of ``records`` completely, and yield its status. Raises StoreFailed."""
    for record in records:
        digest, size = hashlib.sha256(), 0
        try:
            with store.open_reader(record.file.artifact_id) as source:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
        except not_found():
            yield Finding(record, "missing", 0)
            continue
        status: Status = "ok" if digest.hexdigest() == record.file.sha256 else "damaged"
        yield Finding(record, "unhashed" if record.file.sha256 is None else status, size)
