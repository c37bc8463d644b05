"""Store, record, list and read the files of trials and studies.

The bytes are stored before the record. A record has Optuna's form (the system attribute that
``optuna.artifacts.upload_artifact`` writes) and two more fields, ``sha256`` and ``uploaded``. So
the dashboard shows every file. Reading a file verifies its hash.
"""

import hashlib
import json
import mimetypes
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from ..errors import UserError
from .artifact_urls import open_artifacts
from .attributes import STUDY_FILE, TRIAL_FILE, Attribute
from .not_found import not_found
from .owner_markers import write_marker
from .store_protocol import Artifacts, Store, StoreFailed, disk_errors, has_artifact

__all__ = [
    "Artifacts",
    "Store",
    "StoreFailed",
    "StoredFile",
    "file_attr",
    "get_file",
    "list_files",
    "open_artifacts",
    "parse_record",
    "put_file",
    "read_blob",
    "record_file",
    "remove_blob",
    "store_file",
    "write_blob",
]

_OCTETS = "application/octet-stream"
_CHUNK = 1 << 20

Owner = optuna.Trial | FrozenTrial | optuna.Study


@dataclass(frozen=True)
class StoredFile:
    """The record of one file of a trial or study.

    Of several files with the same name the newest is valid. ``uploaded`` is in seconds since 1970.
    It is 0, and ``sha256`` is None, for a file that another program recorded.
    """

    artifact_id: str
    filename: str
    mimetype: str
    encoding: str | None
    sha256: str | None = None
    uploaded: float = 0.0


def put_file(
    store: Store, owner: Owner, path: Path, *, name: str | None = None, storage: BaseStorage | None = None
) -> str:
    """Store and record the file ``path`` of a trial or study; return the artifact's id.

    ``name`` is the recorded name, by default the name of ``path``. The bytes are stored before they
    are recorded. A file with the same name and the same bytes is stored once. A FrozenTrial needs
    ``storage``. Raises StoreFailed, with nothing recorded, if the store is full or cannot be used,
    or if ``path`` cannot be read.
    """
    filename = name or path.name
    with disk_errors(f"store {path}"), path.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        for known in list_files(owner, storage=storage):
            if (known.filename, known.sha256) == (filename, sha256) and has_artifact(store, known.artifact_id):
                return known.artifact_id
        if isinstance(owner, optuna.Study):
            write_marker(store, _backend(owner, storage))
        file = _write(store, handle, filename, sha256)
    record_file(owner, file, storage=storage)
    return file.artifact_id


def store_file(store: Store, path: Path) -> StoredFile:
    """Store the bytes of the file ``path`` without a record.

    The caller then calls ``record_file``, or removes the bytes with ``remove_blob``. Raises
    StoreFailed if the store is full or cannot be used, or if ``path`` cannot be read.
    """
    with disk_errors(f"store {path}"), path.open("rb") as handle:
        return _write(store, handle, path.name, hashlib.file_digest(handle, "sha256").hexdigest())


def record_file(owner: Owner, file: StoredFile, *, storage: BaseStorage | None = None) -> None:
    """Record ``file``, whose bytes are stored, as the newest of its name of a trial or study."""
    backend, value = _backend(owner, storage), json.dumps(asdict(file))
    if isinstance(owner, optuna.Study):
        backend.set_study_system_attr(owner._study_id, STUDY_FILE.at(file.artifact_id).key, value)
    else:
        backend.set_trial_system_attr(owner._trial_id, TRIAL_FILE.at(file.artifact_id).key, value)


def file_attr(file: StoredFile) -> tuple[Attribute[str], str]:
    """Return the system attribute and value that record ``file`` with a trial."""
    return TRIAL_FILE.at(file.artifact_id), json.dumps(asdict(file))


def parse_record(value: str) -> StoredFile:
    """Parse the value of a system attribute that records a file, also another program's."""
    known = StoredFile.__dataclass_fields__
    return StoredFile(**{name: field for name, field in json.loads(value).items() if name in known})


def list_files(owner: Owner, *, storage: BaseStorage | None = None) -> list[StoredFile]:
    """Return the newest file of each name of a trial or study, sorted by name."""
    files = [parse_record(value) for key, value in _attrs(owner, storage).items() if key.startswith(TRIAL_FILE.key)]
    newest = {file.filename: file for file in sorted(files, key=lambda file: file.uploaded)}
    return [newest[filename] for filename in sorted(newest)]


def get_file(store: Store, owner: Owner, name: str, *, to: Path, storage: BaseStorage | None = None) -> Path:
    """Copy the file ``name`` of a trial or study to the folder or file ``to``; return the path.

    Raises UserError, with ``to`` unchanged, if there is no such file, or if its bytes are missing
    or damaged.
    """
    files = {file.filename: file for file in list_files(owner, storage=storage)}
    if name not in files:
        raise UserError(f"there is no file {name} here; there are: {', '.join(files) or 'none'}")
    # Other programs write to the database too: a recorded name must not lead out of the folder.
    target = to / Path(name).name if to.is_dir() else to
    if not _fetch(store, files[name].artifact_id, target, sha256=files[name].sha256):
        raise UserError(
            f"the bytes of {name} (artifact {files[name].artifact_id}) are not in the artifact store; give the store "
            "that the workers use with --artifacts"
        )
    return target


def write_blob(store: Artifacts, artifact_id: str, path: Path) -> None:
    """Store the file ``path`` without a record under a chosen id, in place of an earlier file.

    Use it for files that are soon replaced, such as checkpoints. The store may link to ``path``, so
    do not change the file in place: write the next version aside and rename it.
    """
    store.link(artifact_id, path)


def read_blob(store: Store, artifact_id: str, to: Path) -> bool:
    """Copy a file that ``write_blob`` stored to ``to``; return False if there is none."""
    return _fetch(store, artifact_id, to, sha256=None)


def remove_blob(store: Store, artifact_id: str) -> bool:
    """Delete a stored file by its artifact id; return False if there is none."""
    try:
        store.remove(artifact_id)
    except not_found():
        return False
    return True


def _fetch(store: Store, artifact_id: str, to: Path, *, sha256: str | None) -> bool:
    partial = to.with_name(f".{to.name}.{uuid.uuid4().hex}")
    digest = hashlib.sha256()
    with disk_errors(f"write {to}"):
        try:
            with store.open_reader(artifact_id) as source, partial.open("xb") as sink:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    sink.write(chunk)
            if sha256 is not None and digest.hexdigest() != sha256:
                raise UserError(
                    f"artifact {artifact_id} ({to.name}) is damaged: its bytes are not those that were stored; "
                    "run its trial again, or restore the store from a backup"
                )
            partial.replace(to)
        except not_found():
            return False
        finally:
            partial.unlink(missing_ok=True)
    return True


def _write(store: Store, handle: BinaryIO, filename: str, sha256: str) -> StoredFile:
    mimetype, encoding = mimetypes.guess_type(filename)
    file = StoredFile(str(uuid.uuid4()), filename, mimetype or _OCTETS, encoding, sha256, time.time())
    handle.seek(0)
    store.write(file.artifact_id, handle)
    return file


def _attrs(owner: Owner, storage: BaseStorage | None) -> dict[str, Any]:
    backend = _backend(owner, storage)
    if isinstance(owner, optuna.Study):
        return backend.get_study_system_attrs(owner._study_id)
    return backend.get_trial_system_attrs(owner._trial_id)


def _backend(owner: Owner, storage: BaseStorage | None) -> BaseStorage:
    if storage is not None:
        return storage
    assert not isinstance(owner, FrozenTrial), "a FrozenTrial does not know its storage: pass it"
    return owner._storage if isinstance(owner, optuna.Study) else owner.storage
