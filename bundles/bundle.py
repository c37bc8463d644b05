"""The bundle: a folder (or .zip) with everything that predicting needs and nothing else.

Nothing in it is pickle, loading it executes nothing from it and never leaves its folder, and every file's sha256
stands in ``bundle.json``, beside the record's own. The hashes tell of damage; they do not prevent forgery.
"""

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..data.data_config import SplitConfig
from ..errors import UserError
from ..trials.trial_config import TrialConfig

RECORD = "bundle.json"
WEIGHTS = "weights.safetensors"
BOOSTER = "booster.ubj"
ONNX = "model.onnx"
CARD = "README.md"
IMAGES = "images.json"
SAMPLES = "samples"

_DIGEST = "record_sha256"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Record):
    """The trial that a part of the bundle comes from."""

    study: str
    kind: str
    trial: int
    objective: str
    value: float
    seed: int


class Member(_Record):
    """One of several trials of a study that answer together: ``weight`` is its share in the mean of probabilities."""

    source: Source
    config: TrialConfig
    weight: float = Field(gt=0, le=1)


class Interval(_Record):
    """A score with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class BundleRecord(_Record):
    """``bundle.json``: what the bundle is, where it comes from, and what it scored on which part of the data.

    ``sources`` names one trial of each kind, the best alone, and ``config`` is of these. Of a kind of which several
    trials answer together, ``members`` has all, the one in ``sources`` first; it is empty where each answers alone.
    """

    schema_version: Literal[1] = 1
    sources: tuple[Source, ...]
    members: tuple[Member, ...] = ()
    config: TrialConfig
    classes: tuple[str, ...] = Field(min_length=2)
    metrics: dict[str, dict[str, Interval]]
    images: dict[str, int]
    data_fingerprint: str
    split: SplitConfig
    provenance: dict[str, Any]
    licence: str = "not stated"
    files: dict[str, str] = {}
    record_sha256: str = ""

    def team(self, kind: str) -> tuple[Member, ...]:
        """The trials of one kind that answer together; empty if it is one alone."""
        return tuple(member for member in self.members if member.source.kind == kind)

    def score_rows(self) -> list[dict[str, Any]]:
        """The metrics as rows: part, metric, value and the ends of its interval."""
        return [
            {"part": part, "images": self.images[part], "metric": name, **score.model_dump()}
            for part, scores in self.metrics.items()
            for name, score in scores.items()
        ]


def write_bundle(
    out: Path, record: BundleRecord, fill: Callable[[Path], None], verify: Callable[[Path, BundleRecord], object]
) -> Path:
    """Write a bundle to ``out`` (a folder, or a file that ends in .zip) and return its path.

    ``fill`` writes the files into an empty folder; ``verify`` loads the finished folder and raises if it is wrong.
    Everything happens aside: ``out`` appears whole or not at all. Raises UserError if it exists or the disk is full.
    """
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
            folder = Path(aside) / "bundle"
            folder.mkdir()
            fill(folder)
            files = {path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder)}
            full = record.model_copy(update={"files": files})
            write_record(folder, full)
            verify(folder, full)
            finished = _zip(folder, Path(aside) / "bundle.zip") if out.suffix == ".zip" else folder
            os.replace(finished, out)
    except OSError as error:
        raise UserError(
            f"cannot write the bundle to `{out}` ({error.strerror or error}); nothing was left there: make room, or"
            " choose another path with -o."
        ) from None
    return out


def write_record(folder: Path, record: BundleRecord) -> None:
    """Write ``bundle.json`` with the sha256 of its content."""
    fields = json.loads(record.model_dump_json(exclude={_DIGEST}))
    (folder / RECORD).write_text(json.dumps(fields | {_DIGEST: _digest(fields)}, indent=2) + "\n")


@contextmanager
def opened(bundle: Path) -> Iterator[Path]:
    """The bundle as a folder, its paths checked; a .zip is unpacked aside for as long as the context lasts.

    Raises UserError if it is not a bundle, is damaged or names a path outside itself.
    """
    if bundle.is_dir():
        yield _root(bundle, bundle)
        return
    if not zipfile.is_zipfile(bundle):
        raise UserError(f"`{bundle}` is not a bundle; give the folder or the .zip that `venation bundle export` wrote.")
    with tempfile.TemporaryDirectory(prefix="venation-bundle-") as aside:
        _unpack(bundle, Path(aside))
        yield _root(bundle, Path(aside))


@contextmanager
def intact(bundle: Path) -> Iterator[tuple[Path, BundleRecord]]:
    """The opened folder and its record; UserError if a file is missing, added or not the one that was exported."""
    with opened(bundle) as folder:
        record = load_record(folder)
        if damage := damaged_files(folder, record):
            raise UserError(f"bundle `{bundle}` is damaged: {'; '.join(damage)}. Copy or export it again.")
        yield folder, record


def read_record(bundle: Path) -> BundleRecord:
    """The bundle's record, schema checked; UserError if it is missing or not understood."""
    with opened(bundle) as folder:
        return load_record(folder)


def load_record(folder: Path) -> BundleRecord:
    """The record of an opened bundle; UserError if it is not understood, damaged or leads out of the folder."""
    content = (folder / RECORD).read_bytes()
    try:
        record = BundleRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise UserError(
            f"{RECORD} is not understood by this version ({where}: {first['msg']}); export the bundle again."
        ) from None
    # The text as it stands, not the model: a later version's defaults must not change the hash of an older record.
    fields = json.loads(content)
    if fields.pop(_DIGEST, None) != _digest(fields):
        raise UserError(f"{RECORD} was changed: its sha256 is not the recorded one; copy or export the bundle again.")
    for name in record.files:
        check_inside(folder, name)
    return record


def damaged_files(folder: Path, record: BundleRecord) -> list[str]:
    """What is wrong with the files of an opened bundle: missing, changed, or not in the record."""
    present = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    present.pop(RECORD, None)
    rows = [f"{name} is missing" for name in record.files if name not in present]
    rows += [f"{name} is not in {RECORD}" for name in present if name not in record.files]
    changed = (name for name, digest in record.files.items() if name in present and sha256(present[name]) != digest)
    return rows + [f"{name} was changed: its sha256 is not the recorded one" for name in changed]


def check_inside(bundle: Path, name: str) -> None:
    """Raise UserError unless ``name`` is a relative path that stays in the bundle."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise UserError(f"`{bundle}` names `{name}`, which leads out of the bundle; do not trust this file.")


def sha256(path: Path) -> str:
    """The hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(fields: dict[str, Any]) -> str:
    """The sha256 of the canonical JSON: keys sorted, no spaces."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _unpack(bundle: Path, aside: Path) -> None:
    try:
        with zipfile.ZipFile(bundle) as archive:
            for entry in archive.infolist():
                check_inside(bundle, entry.filename)
            archive.extractall(aside)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise UserError(
            f"`{bundle}` cannot be unpacked ({error}); copy or export it again, and see to room for temporary files."
        ) from None


def _root(bundle: Path, folder: Path) -> Path:
    """The folder with the record: an archive packed by hand may hold its bundle one folder down."""
    _refuse_links(folder)
    inner = list(folder.iterdir())
    if folder != bundle and len(inner) == 1 and inner[0].is_dir():
        folder = inner[0]
    if not (folder / RECORD).is_file():
        raise UserError(f"`{bundle}` has no {RECORD}: it is not a bundle, or not a whole one; export it again.")
    return folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _refuse_links(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise UserError(f"`{path.name}` in the bundle is a link; a bundle holds plain files only: do not trust it.")


def _zip(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in _files(folder):
            archive.write(file, file.relative_to(folder).as_posix())
    return path
