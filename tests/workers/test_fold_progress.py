"""The stored progress of a trial with folds."""

import errno
import os
import tarfile
from pathlib import Path
from typing import cast

import pytest
import torch

from venation.storage.folder import FolderStore
from venation.trials.errors import CheckpointMismatch
from venation.workers.checkpoint_store import CheckpointStore
from venation.workers.fold_progress import FoldProgress


class Linked:
    """The checkpoints of a trial in a folder of the same file system, which links to them."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder)

    def save(self, path: Path) -> None:
        self.store.link("checkpoint", path)

    def restore(self, to: Path) -> bool:
        with self.store.open_reader("checkpoint") as reader:
            to.write_bytes(reader.read())
        return True


def opened(checkpoints: Linked, folder: Path) -> FoldProgress:
    folder.mkdir()
    return FoldProgress(cast(CheckpointStore, checkpoints), folder)


def test_the_next_progress_does_not_change_the_stored_file_in_place(tmp_path: Path) -> None:
    checkpoints = Linked(tmp_path / "store")
    progress = FoldProgress(cast(CheckpointStore, checkpoints), tmp_path)
    progress.finish({"w": torch.zeros(2)}, {"fold": 0})
    # Another worker reads the file, or the writer is killed, while the next one is written.
    with checkpoints.store.open_reader("checkpoint") as reader:
        progress.finish({"w": torch.ones(2)}, {"fold": 1})
        with tarfile.open(fileobj=reader) as tar:
            assert [name for name in tar.getnames() if "weights" in name] == [progress.weights(0).name]
    with checkpoints.store.open_reader("checkpoint") as reader, tarfile.open(fileobj=reader) as tar:
        assert {progress.weights(0).name, progress.weights(1).name} < set(tar.getnames())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folds", "folds.tar", "store"]


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = Linked(tmp_path / "store")
    opened(checkpoints, tmp_path / "first").finish({"w": torch.zeros(2)}, {"fold": 0})
    again = opened(checkpoints, tmp_path / "second")
    with monkeypatch.context() as patch:

        def full(*args: object, **kwargs: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(tarfile.TarFile, "extractall", full)
        with pytest.raises(OSError, match="No space left"):
            again.restore()
    assert again.restore() and again.records == [{"fold": 0}]


def test_a_lost_member_is_damage(tmp_path: Path) -> None:
    checkpoints = Linked(tmp_path / "store")
    first = opened(checkpoints, tmp_path / "first")
    first.finish({"w": torch.zeros(2)}, {"fold": 0})
    first.weights(0).unlink()
    first.save()
    again = opened(checkpoints, tmp_path / "second")
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        again.restore()
    assert again.records == []
