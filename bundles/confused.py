"""The classes that a classifier confuses most, and those that it recognises least.

Shapes: N classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..trials.metrics import LabelOutcomes, confusion, per_class

# The pairs and classes that are listed.
SHOWN = 5


def most_confused(labels: LabelOutcomes, classes: Sequence[str], *, count: int = SHOWN) -> list[dict[str, Any]]:
    """Return the ``count`` most frequent errors: true, answered, count, images of the class."""
    counts_NN = confusion(labels)
    images_N = counts_NN.sum(axis=1)
    np.fill_diagonal(counts_NN, 0)
    order = np.argsort(-counts_NN, axis=None, kind="stable")[:count]
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
