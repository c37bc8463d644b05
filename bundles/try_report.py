"""The report of a first bundle: scores, the most confused classes, notes.

Shapes: N classes.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.manifest import Manifest
from ..trials.evaluate import Score
from ..trials.metrics import Ints, LabelOutcomes, confusion, per_class
from ..trials.probe_folds import ALWAYS_TRAINS

# The pairs and classes that are listed.
SHOWN = 5
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


def most_confused(labels: LabelOutcomes, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the most frequent errors: true class, answered class, count, images of the class."""
    counts_NN = confusion(labels)
    images_N = counts_NN.sum(axis=1)
    np.fill_diagonal(counts_NN, 0)
    order = np.argsort(-counts_NN, axis=None, kind="stable")[:SHOWN]
    pairs = [divmod(int(cell), len(classes)) for cell in order if counts_NN.flat[cell]]
    return [
        {
            "true": classes[true],
            "answered": classes[answered],
            "count": int(counts_NN[true, answered]),
            "images": int(images_N[true]),
        }
        for true, answered in pairs
    ]


def weakest_classes(labels: LabelOutcomes, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes of lowest recall, of those with an error."""
    scores = per_class(labels)
    order = np.argsort(scores.recall_N, kind="stable")
    wrong = [index for index in order if scores.support_N[index] and scores.recall_N[index] < 1][:SHOWN]
    return [
        {
            "class": classes[index],
            "recall": float(scores.recall_N[index]),
            "images": int(scores.support_N[index]),
        }
        for index in wrong
    ]


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
