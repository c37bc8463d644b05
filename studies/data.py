"""The data of a study: recorded digests, and the check that a worker's files match them."""

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
REST = 100.0  # checks of the files take at most 1/REST of a worker's time

Stamp = tuple[int, int, int]


class SeenFiles:
    """The files of a data set as they were when the worker opened them.

    A file is read again only if its size, time or inode changed. A new file beside them is not
    noticed; no trial learns from it.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._files = [(sample, [os.fspath(path) for path in _files(sample)]) for sample in manifest.samples]
        self._stamps = [[_stamp(path) for path in paths] for _, paths in self._files]
        self._due = 0.0

    def changes(self, prints: Mapping[str, str]) -> list[str]:
        """Return the differences from ``prints``, one line an image.

        It returns none if it is too early to check again.
        """
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
            self._stamps = stamps  # the same bytes, written again
        return rows


def load_split(data: Path, split: SplitConfig) -> tuple[Manifest, dict[str, str]]:
    """Load the manifest of ``data`` with every image in its split, and the digest of each image."""
    manifest = load_parts(data, split)
    return manifest, digests(manifest)


def record_digests(artifacts: Artifacts, study: optuna.Study, prints: dict[str, str]) -> None:
    """Store the digests with the study, so that a worker whose data differ can name the files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DIGESTS
        path.write_text(json.dumps(prints))
        put_file(artifacts, study, path)


class StudyData:
    """A study's data on this machine: the manifest, and in ``prints`` the digest of each image."""

    def __init__(self, where: Path, name: str, manifest: Manifest) -> None:
        self.manifest = manifest
        self._where, self._name = where, name
        # Before the digests, so that the first check notices a change in between.
        self._seen = SeenFiles(manifest)
        self.prints = digests(manifest)

    def check(self) -> None:
        """Raise DataError that names the files if they have changed; mostly takes milliseconds."""
        if rows := self._seen.changes(self.prints):
            raise DataError(
                f"`{self._where}` does not hold the data of study `{self._name}` any more ({_shown(rows)}); put the"
                " same files back."
            )


def open_data(handle: StudyHandle, artifacts: Artifacts, data: Path | None) -> StudyData:
    """Load the study's data on this machine; DataError that names the files if they differ."""
    spec, name = handle.spec, handle.study.study_name
    where = data or Path(spec.data)
    opened = StudyData(where, name, load_parts(where, spec.split))
    if fingerprint(opened.prints) == spec.fingerprint:
        return opened
    with tempfile.TemporaryDirectory() as folder:
        path = get_file(artifacts, handle.study, DIGESTS, to=Path(folder) / DIGESTS)
        rows = differences(opened.prints, json.loads(path.read_text()))
    raise DataError(
        f"`{where}` does not hold the data of study `{name}` ({_shown(rows)}); bring the same files, or say"
        " where they are with --data."
    )


def load_parts(data: Path, split: SplitConfig) -> Manifest:
    """Load the manifest of ``data`` with every image in its split."""
    manifest = load_manifest(data, for_training=True)
    return assign_splits(manifest, seed=split.seed, val=split.val, test=split.test)


def _shown(rows: Sequence[str]) -> str:
    return "; ".join(rows[:SHOWN]) + (f"; and {len(rows) - SHOWN} more" if len(rows) > SHOWN else "")


def _files(sample: Sample) -> list[Path]:
    return [sample.image] if sample.mask is None else [sample.image, sample.mask]


def _stamp(path: str) -> Stamp | None:
    """Return size, time and inode of a file; None if it cannot be read."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
