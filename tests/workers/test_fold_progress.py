"""The stored progress of a trial with folds."""

import tarfile
from pathlib import Path
from typing import cast

import torch

from venation.storage.folder import FolderStore
from venation.workers.checkpoint_store import CheckpointStore
from venation.workers.fold_progress import FoldProgress


class Linked:
    """The checkpoints of a trial in a folder of the same file system, which links to them."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderStore(folder)

    def save(self, path: Path) -> None:
        self.store.link("checkpoint", path)


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
