"""The bundle: a folder or .zip with all files for prediction and nothing else.

A bundle has no pickle. Loading it executes nothing from it and reads nothing outside its folder.
``bundle.json`` has the sha256 of every file and of itself. The hashes detect damage; forgery is
detected by a signature (``bundles.signature``).
"""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import UserError
from .archive import check_inside, list_files, pack, read_text_file, unpack
from .record import RECORD, BundleRecord
from .signature import SIGNATURE, check_signature

_DIGEST = "record_sha256"
_SHOWN = 5


def write_bundle(
    out: Path,
    record: BundleRecord,
    fill: Callable[[Path], BundleRecord | None],
    verify: Callable[[Path, BundleRecord], object],
) -> Path:
    """Write a bundle to ``out`` (a folder, or a file that ends in .zip) and return its path.

    ``fill`` writes the files into an empty folder, and returns the record if it added to it;
    ``verify`` loads the finished folder and raises if it is wrong. The bundle is built in a
    temporary folder: ``out`` appears complete or not at all. Raises UserError if ``out`` exists or
    the disk is full.
    """
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
            folder = Path(aside) / "bundle"
            folder.mkdir()
            record = fill(folder) or record
            files = {path.relative_to(folder).as_posix(): sha256(path) for path in list_files(folder)}
            full = record.model_copy(update={"files": files, "inference": record.describe()})
            write_record(folder, full)
            verify(folder, full)
            finished = pack(folder, Path(aside) / "bundle.zip") if out.suffix == ".zip" else folder
            os.replace(finished, out)
    except OSError as error:
        raise UserError(
            f"cannot write the bundle to `{out}` ({error.strerror or error}); nothing was left there: make room or"
            " choose another path with -o."
        ) from None
    return out


def write_record(folder: Path, record: BundleRecord) -> None:
    """Write ``bundle.json`` with the sha256 of its content."""
    fields = json.loads(record.model_dump_json(exclude={_DIGEST}))
    (folder / RECORD).write_text(json.dumps(fields | {_DIGEST: _digest(fields)}, indent=2) + "\n")


@contextmanager
def open_bundle(bundle: Path) -> Iterator[Path]:
    """Yield the bundle as a folder with checked paths; a .zip is unpacked to a temporary folder.

    Raises UserError if it is not a bundle, is damaged or names a path outside itself.
    """
    if bundle.is_dir():
        yield _root(bundle, bundle)
        return
    if not zipfile.is_zipfile(bundle):
        raise UserError(f"`{bundle}` is not a bundle; give the folder or the .zip that `venation bundle export` wrote.")
    with tempfile.TemporaryDirectory(prefix="venation-bundle-") as aside:
        unpack(bundle, Path(aside))
        yield _root(bundle, Path(aside))


@contextmanager
def open_verified(bundle: Path, *, signed: bool = True) -> Iterator[tuple[Path, BundleRecord]]:
    """Yield the opened folder and its record after a check of all file hashes.

    With ``signed``, also check the signature, if the user trusts certain keys only. Raises
    UserError if a file is missing, added or changed, and for a bundle of no trusted key.
    """
    with open_bundle(bundle) as folder:
        record = load_intact(bundle, folder)
        if signed:
            check_signature(bundle, folder, record.record_sha256)
        yield folder, record


def load_intact(bundle: Path, folder: Path) -> BundleRecord:
    """Return the record of an opened bundle after a check of all file hashes.

    Raises UserError if a file is missing, added or changed.
    """
    record = load_record(folder)
    if damage := damaged_files(folder, record):
        more = f"; and {len(damage) - _SHOWN} more" if len(damage) > _SHOWN else ""
        listed = "; ".join(damage[:_SHOWN])
        raise UserError(f"bundle `{bundle}` is damaged: {listed}{more}. Copy or export it again.")
    return record


def read_record(bundle: Path) -> BundleRecord:
    """Return the bundle's record. Raises UserError if it is missing or invalid."""
    with open_bundle(bundle) as folder:
        return load_record(folder)


def load_record(folder: Path) -> BundleRecord:
    """Return the record of an opened bundle.

    Raises UserError if it is invalid, damaged or names a path outside the folder.
    """
    content = read_text_file(folder / RECORD)
    try:
        record = BundleRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise UserError(
            f"{RECORD} is not understood by this version ({where}: {first['msg']}); export the bundle again."
        ) from None
    # Hash the text, not the model: defaults of a later version must not change the hash of an older
    # record.
    fields = json.loads(content)
    if fields.pop(_DIGEST, None) != _digest(fields):
        raise UserError(f"{RECORD} was changed: its sha256 is not the recorded one; copy or export the bundle again.")
    for name in record.files:
        check_inside(folder, name)
    return record


def damaged_files(folder: Path, record: BundleRecord) -> list[str]:
    """Return a message for each file of an opened bundle that is missing, changed or unknown."""
    present = {path.relative_to(folder).as_posix(): path for path in list_files(folder)}
    for name in (RECORD, SIGNATURE):
        present.pop(name, None)
    rows = [f"{name} is missing" for name in record.files if name not in present]
    rows += [f"{name} is not in {RECORD}" for name in present if name not in record.files]
    changed = (name for name, digest in record.files.items() if name in present and sha256(present[name]) != digest)
    return rows + [f"{name} was changed: its sha256 is not the recorded one" for name in changed]


def sha256(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(fields: dict[str, Any]) -> str:
    """Return the sha256 of the canonical JSON: keys sorted, no spaces."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _root(bundle: Path, folder: Path) -> Path:
    """Return the folder with the record; an archive may have its bundle one folder down."""
    list_files(folder)
    inner = list(folder.iterdir())
    if folder != bundle and len(inner) == 1 and inner[0].is_dir():
        folder = inner[0]
    if not (folder / RECORD).is_file():
        raise UserError(f"`{bundle}` has no {RECORD}: it is not a bundle, or not a complete one; export it again.")
    return folder
