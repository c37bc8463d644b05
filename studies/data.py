"""A study's data, as they must be on every machine."""

import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna

from ..data.data_config import SplitConfig
from ..data.fingerprint import differences, digests, fingerprint
from ..data.manifest import Manifest, Sample, load_manifest
from ..data.splits import assign_splits
from ..errors import DataError
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, get_file, put_file

DIGESTS = "digests.json"
SHOWN = 5
REST = 100.0  # checks of the files take at most one part in so many of a worker's time

Stamp = tuple[int, int, int]


class SeenFiles:
    """The files of a data set as they were when a worker began: do they still hold the same?

    Asked of the file system: only a file whose size, time or inode is another is read again. A file that is new beside
    them is not noticed, and is no part of what trials learn from.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._files = [(sample, [os.fspath(path) for path in _files(sample)]) for sample in manifest.samples]
        self._stamps = [[_stamp(path) for path in paths] for _, paths in self._files]
        self._due = 0.0

    def changes(self, prints: Mapping[str, str]) -> list[str]:
        """What differs from the digests ``prints``, one line an image; nothing where it is too soon to look again."""
        began = time.monotonic()
        if began < self._due:
            return []
        try:
            return self._compare(prints)
        finally:
            self._due = time.monotonic() + REST * (time.monotonic() - began)

    def _compare(self, prints: Mapping[str, str]) -> list[str]:
        stamps = [[_stamp(path) for path in paths] for _, paths in self._files]
        moved = [n for n, (seen, now) in enumerate(zip(self._stamps, stamps, strict=True)) if seen != now]
        if not moved:
            return []
        there = tuple(self._files[n][0] for n in moved if None not in stamps[n])
        mine = digests(Manifest(self._manifest.root, there, self._manifest.classes))
        keys = [self._manifest.key(self._files[n][0]) for n in moved]
        rows = differences(mine, {key: prints[key] for key in keys})
        if not rows:
            self._stamps = stamps  # the same bytes, written anew
        return rows


def load_split(data: Path, split: SplitConfig) -> tuple[Manifest, dict[str, str]]:
    """The manifest of ``data`` with every image in its part, and the digest of each image."""
    manifest = _load_parts(data, split)
    return manifest, digests(manifest)


def record_digests(artifacts: Artifacts, study: optuna.Study, prints: dict[str, str]) -> None:
    """Keep the digests with the study, so that a worker whose data differ can say which files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DIGESTS
        path.write_text(json.dumps(prints))
        put_file(artifacts, study, path)


class StudyData:
    """A study's data as a worker has them: the manifest, and in ``prints`` the digest of each image."""

    def __init__(self, where: Path, name: str, manifest: Manifest) -> None:
        self.manifest = manifest
        self._where, self._name = where, name
        # Before the digests: what changes in between is noticed at the first check.
        self._seen = SeenFiles(manifest)
        self.prints = digests(manifest)

    def check(self) -> None:
        """Raise DataError that names the files where they are not what they were; mostly this takes milliseconds."""
        if rows := self._seen.changes(self.prints):
            raise DataError(
                f"`{self._where}` does not hold the data of study `{self._name}` any more ({_shown(rows)}); put the"
                " same files back."
            )


def open_data(handle: StudyHandle, artifacts: Artifacts, data: Path | None) -> StudyData:
    """The study's data from where they lie here; DataError that names the files if they are not the study's."""
    spec, name = handle.spec, handle.study.study_name
    where = data or Path(spec.data)
    opened = StudyData(where, name, _load_parts(where, spec.split))
    if fingerprint(opened.prints) == spec.fingerprint:
        return opened
    with tempfile.TemporaryDirectory() as folder:
        path = get_file(artifacts, handle.study, DIGESTS, to=Path(folder) / DIGESTS)
        rows = differences(opened.prints, json.loads(path.read_text()))
    raise DataError(
        f"`{where}` does not hold the data of study `{name}` ({_shown(rows)}); bring the same files, or say"
        " where they are with --data."
    )


def _load_parts(data: Path, split: SplitConfig) -> Manifest:
    return assign_splits(load_manifest(data), seed=split.seed, val=split.val, test=split.test)


def _shown(rows: Sequence[str]) -> str:
    return "; ".join(rows[:SHOWN]) + (f"; and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")


def _files(sample: Sample) -> list[Path]:
    return [sample.image] if sample.mask is None else [sample.image, sample.mask]


def _stamp(path: str) -> Stamp | None:
    """What the file system says of a file; None where there is none to be read."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
