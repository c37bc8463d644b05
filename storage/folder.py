"""An artifact store in a folder; files are written atomically."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .not_found import not_found
from .store_protocol import Entry, StoreFailed, check_id, disk_errors

_PARTIAL = ".partial"
_PARTIAL_LIFE_S = 86400
_CHUNK = 1 << 20


class FolderStore:
    """An artifact store in ``folder``, which several machines may share and write to at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open a file for reading.

        Raises Optuna's ArtifactNotFound, StoreFailed, and UserError for a malformed id.
        """
        place = self._place(artifact_id)
        with disk_errors(f"read artifact {artifact_id} in {self.folder}"):
            try:
                return place.open("rb")
            except FileNotFoundError:
                raise self._missing(artifact_id) from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store all of ``content_body`` atomically, in place of an earlier file.

        Raises UserError.
        """
        place = self._place(artifact_id)
        partial = self.folder / _PARTIAL / uuid.uuid4().hex
        with disk_errors(f"write artifact {artifact_id} to {self.folder}"):
            try:
                partial.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("xb") as handle:
                    shutil.copyfileobj(content_body, handle, _CHUNK)
                    handle.flush()
                    os.fsync(handle.fileno())
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folder(self.folder)

    def link(self, artifact_id: str, path: Path) -> None:
        """Store the file ``path`` as a hard link if the file system allows, else as a copy.

        For files that are soon replaced: the file is not flushed to the disk. Do not change
        ``path`` in place afterwards. Raises UserError.
        """
        place = self._place(artifact_id)
        partial = self.folder / _PARTIAL / uuid.uuid4().hex
        with disk_errors(f"write artifact {artifact_id} to {self.folder}"):
            try:
                partial.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(path, partial)
                except OSError:  # another file system, or one without links
                    shutil.copyfile(path, partial)
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)

    def remove(self, artifact_id: str) -> None:
        """Delete a file. Raises Optuna's ArtifactNotFound, and StoreFailed."""
        place = self._place(artifact_id)
        with disk_errors(f"remove artifact {artifact_id} from {self.folder}"):
            try:
                place.unlink()
            except FileNotFoundError:
                raise self._missing(artifact_id) from None

    def entries(self) -> Iterator[Entry]:
        """Yield all files of the folder, in any order. Raises StoreFailed."""
        with disk_errors(f"list {self.folder}"), os.scandir(self.folder) as found:
            for entry in found:
                try:
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield Entry(entry.name, status.st_size, status.st_mtime)
                except FileNotFoundError:
                    # Removed after the folder was read.
                    continue

    def sweep(self) -> None:
        """Delete incomplete files that are older than a day, left by killed writers."""
        oldest = time.time() - _PARTIAL_LIFE_S
        for partial in (self.folder / _PARTIAL).glob("*"):
            try:
                if partial.stat().st_mtime < oldest:
                    partial.unlink()
            except FileNotFoundError:
                # Another process swept it.
                continue

    def _missing(self, artifact_id: str) -> Exception:
        """Return the error for a missing file: StoreFailed if the folder itself is missing."""
        if self.folder.is_dir():
            return not_found()(f"no artifact {artifact_id} in {self.folder}")
        return StoreFailed(
            f"cannot read artifact {artifact_id}: the folder {self.folder} does not exist any more; mount its disk, or"
            " give another folder with --artifacts"
        )

    def _place(self, artifact_id: str) -> Path:
        return self.folder / check_id(artifact_id)


def _sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
