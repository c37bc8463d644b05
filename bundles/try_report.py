"""The report of a first bundle: scores, the most confused classes, notes."""

import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.manifest import Manifest
from ..trials.evaluate import Score
from ..trials.metrics import Ints
from ..trials.probe_folds import ALWAYS_TRAINS

_NAMED = 3


@dataclass(frozen=True)
class TryReport:
    """The result of ``try_data``: the path of the bundle, and its scores by cross-validation.

    ``scores`` have 95 % intervals; ``scored`` is the number of images in folds. ``confused`` lists
    the most frequent errors (``true``, ``answered``, ``count``, of ``images``), ``weakest`` the
    classes of lowest recall, ``notes`` what was done about small classes and a given test split.
    """

    bundle: Path
    data: Path
    encoder: str
    size: int | str
    images: int
    classes: int
    folds: int
    scored: int
    scores: dict[str, Score]
    confused: list[dict[str, Any]]
    weakest: list[dict[str, Any]]
    notes: list[str]
    seconds: float

    @property
    def next_command(self) -> str:
        """The command that searches for a better network on the same data."""
        name = self.bundle.name.removesuffix(".zip").removesuffix(".bundle")
        # Folders may have names that a study may not have.
        study = re.sub(r"[^\w.-]+", "-", name).lstrip(".-")[:100] or "study"
        return f"venation study create {study} --kind classifier --data {shlex.quote(str(self.data))}"

    def record(self) -> dict[str, Any]:
        """Return the report as plain data."""
        paths = {"bundle": str(self.bundle), "data": str(self.data)}
        return asdict(self) | paths | {"next": self.next_command}


def fold_notes(manifest: Manifest, label_N: Ints, fold_N: Ints, *, asked: int) -> list[str]:
    """Return what was done about classes of too few images or groups, and about a test split."""
    notes = []
    folds = int(fold_N.max()) + 1
    if folds < asked:
        notes.append(f"{folds} folds instead of {asked}: no class has more images, or groups, than that")
    kept = label_N[fold_N == ALWAYS_TRAINS]
    if len(kept):
        names = [manifest.classes[label] for label in np.unique(kept)]
        listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        notes.append(
            f"{len(kept)} images always train and are not scored, because their class would have no other image to"
            f" learn from: {listed}"
        )
    if sealed := len(manifest.split("test")):
        notes.append(f"{sealed} images of the data's own test split are left out: `venation evaluate` scores them")
    return notes
