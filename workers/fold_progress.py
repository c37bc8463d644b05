"""The progress of a trial with folds: its finished folds and the checkpoint of the running one.

All of it is one blob, an uncompressed tar file, under the id of the trial's checkpoint. So it
appears whole or not at all, and is fenced, resumed and removed like every checkpoint.
"""

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..bundles.record import fold_weights
from ..trials.checkpoint import write_weights
from ..trials.errors import CheckpointMismatch
from ..trials.files import atomic_write
from .checkpoint_store import CheckpointStore

_CHECKPOINT, _RECORDS = "checkpoint.safetensors", "folds.json"


class FoldProgress:
    """The finished folds of a trial, in order, with the files in ``folder``.

    ``records`` holds what was given to ``finish``. ``checkpoint`` is the file of the running fold.
    """

    def __init__(self, checkpoints: CheckpointStore, folder: Path) -> None:
        self._checkpoints = checkpoints
        self._folder = folder / "folds"
        self._folder.mkdir()
        self._blob = folder / "folds.tar"
        self.records: list[dict[str, Any]] = []
        self.checkpoint = self._folder / _CHECKPOINT

    def restore(self) -> bool:
        """Fetch the newest progress of any owner; return False if there is none.

        Raises CheckpointMismatch if it is damaged, so that the trial starts again, and OSError if
        the disk is full.
        """
        if not self._checkpoints.restore(self._blob):
            return False
        try:
            with tarfile.open(self._blob) as tar:
                tar.extractall(self._folder, filter="data")
            records = json.loads((self._folder / _RECORDS).read_text())
            # A tar file that ends early between two members reads like a whole one.
            for fold in range(len(records)):
                self.weights(fold).stat()
        except (tarfile.TarError, FileNotFoundError, ValueError) as error:
            raise CheckpointMismatch(f"the progress of the folds cannot be read ({error})") from None
        self.records = records
        return True

    def weights(self, fold: int) -> Path:
        """Return the file with the weights of a finished fold."""
        return self._folder / fold_weights(fold)

    def finish(self, weights: Mapping[str, Tensor], record: dict[str, Any]) -> None:
        """Add the next finished fold and store the progress. Raises LeaseLost."""
        write_weights(weights, self.weights(len(self.records)))
        self.checkpoint.unlink(missing_ok=True)
        self.records.append(record)
        self.save()

    def save(self) -> None:
        """Store the progress. Raises LeaseLost."""
        (self._folder / _RECORDS).write_text(json.dumps(self.records))
        # The store may link to the file, so the next one replaces it. Like every checkpoint it does
        # not wait for the disk.
        with atomic_write(self._blob, fsync=False) as aside, tarfile.open(aside, "w") as tar:
            for path in sorted(self._folder.iterdir()):
                tar.add(path, path.name)
        self._checkpoints.save(self._blob)
