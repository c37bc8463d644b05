"""Files of trials and studies: the bytes first, then the record; verified when read.

Records are Optuna's own (system attribute ``artifacts:<id>``, as ``optuna.artifacts.upload_artifact`` writes it) with
two more keys, ``sha256`` and ``uploaded``: the dashboard shows every file, and Optuna's readers see what they know.
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
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from ..errors import UserError
from .artifact_urls import open_artifacts
from .attributes import STUDY_FILE, TRIAL_FILE, Attribute
from .owner_markers import leave_mark
from .store_protocol import Artifacts, Store, StoreFailed, disk_errors, holds

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
    """One file of a trial or study; the newest of one name is the file of that name.

    ``uploaded`` is in seconds since 1970. It is 0, and ``sha256`` None, for files that others put there.
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
    """Store the file ``path`` as ``name`` (its own if None) of a trial or study; returns the artifact's id.

    The bytes are safe before they are recorded. The same bytes under the same name again are stored once.
    ``storage`` is needed for a FrozenTrial. Raises StoreFailed where the store is full or unusable or ``path``
    unreadable: nothing is recorded then.
    """
    filename = name or path.name
    with disk_errors(f"store {path}"), path.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        for known in list_files(owner, storage=storage):
            if (known.filename, known.sha256) == (filename, sha256) and holds(store, known.artifact_id):
                return known.artifact_id
        if isinstance(owner, optuna.Study):
            leave_mark(store, _backend(owner, storage))
        file = _write(store, handle, filename, sha256)
    record_file(owner, file, storage=storage)
    return file.artifact_id


def store_file(store: Store, path: Path) -> StoredFile:
    """The first half of ``put_file``: the bytes alone, which belong to nobody until ``record_file``.

    Raises StoreFailed where the store is full or unusable or ``path`` unreadable. Who does not record the file removes
    its bytes.
    """
    with disk_errors(f"store {path}"), path.open("rb") as handle:
        return _write(store, handle, path.name, hashlib.file_digest(handle, "sha256").hexdigest())


def record_file(owner: Owner, file: StoredFile, *, storage: BaseStorage | None = None) -> None:
    """The second half of ``put_file``: from now on ``file`` is the newest of its name of a trial or study."""
    backend, value = _backend(owner, storage), json.dumps(asdict(file))
    if isinstance(owner, optuna.Study):
        backend.set_study_system_attr(owner._study_id, STUDY_FILE.at(file.artifact_id).key, value)
    else:
        backend.set_trial_system_attr(owner._trial_id, TRIAL_FILE.at(file.artifact_id).key, value)


def file_attr(file: StoredFile) -> tuple[Attribute[str], str]:
    """The system attribute that records ``file``: for a trial that is added to a study as a whole."""
    return TRIAL_FILE.at(file.artifact_id), json.dumps(asdict(file))


def parse_record(value: str) -> StoredFile:
    """What a system attribute records of a file, whoever recorded it."""
    known = StoredFile.__dataclass_fields__
    return StoredFile(**{name: field for name, field in json.loads(value).items() if name in known})


def list_files(owner: Owner, *, storage: BaseStorage | None = None) -> list[StoredFile]:
    """The newest file of each name of a trial or study, sorted by name."""
    files = [parse_record(value) for key, value in _attrs(owner, storage).items() if key.startswith(TRIAL_FILE.key)]
    newest = {file.filename: file for file in sorted(files, key=lambda file: file.uploaded)}
    return [newest[filename] for filename in sorted(newest)]


def get_file(store: Store, owner: Owner, name: str, *, to: Path, storage: BaseStorage | None = None) -> Path:
    """Fetch the file ``name`` of a trial or study into the folder or file ``to``; returns where it lies.

    Raises UserError where there is none, its bytes are gone, or they are not those that were stored; ``to`` then stays
    as it was.
    """
    files = {file.filename: file for file in list_files(owner, storage=storage)}
    if name not in files:
        raise UserError(f"there is no file {name} here; there are: {', '.join(files) or 'none'}")
    # The name comes from a database that others write to: it must not lead out of the folder.
    target = to / Path(name).name if to.is_dir() else to
    if not _fetch(store, files[name].artifact_id, target, sha256=files[name].sha256):
        raise UserError(
            f"the bytes of {name} (artifact {files[name].artifact_id}) are not in the artifact store; give the store "
            "that the workers use with --artifacts"
        )
    return target


def write_blob(store: Artifacts, artifact_id: str, path: Path) -> None:
    """Store the file ``path`` under an id of the caller's choice, in place of what was there, without a record.

    For what is soon replaced, a checkpoint say: ``path`` may be linked, so write its successor aside and rename it.
    """
    store.link(artifact_id, path)


def read_blob(store: Store, artifact_id: str, to: Path) -> bool:
    """Fetch what ``write_blob`` stored into the file ``to``; False, and nothing done, where there is none."""
    return _fetch(store, artifact_id, to, sha256=None)


def remove_blob(store: Store, artifact_id: str) -> bool:
    """Delete what ``write_blob`` stored; False where there is none."""
    try:
        store.remove(artifact_id)
    except ArtifactNotFound:
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
        except ArtifactNotFound:
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
