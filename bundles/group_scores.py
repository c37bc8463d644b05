"""Score errors within coarse groups of classes apart from errors across groups.

Shapes: I images, N classes, G groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..trials.evaluate import Score, share_score
from ..trials.metrics import Ints, LabelOutcomes


@dataclass(frozen=True)
class GroupScore:
    """The score of one group: its number of classes, images and correct predictions (``right``).

    ``fine_accuracy`` is right / images; ``outer_errors`` counts images predicted as a class of
    another group (HERBS, section 7). Both have intervals.
    """

    group: str
    classes: int
    images: int
    right: int
    fine_accuracy: Score
    outer_errors: Score


def group_scores(outcomes: LabelOutcomes, classes: Sequence[str], groups: Mapping[str, str]) -> list[GroupScore]:
    """Return the scores of every group with images, sorted by name.

    Only the assignment of classes to groups matters, not the order or ids of classes. Intervals
    are Wilson's, see ``share_score``. Raises KeyError for a class without a group.
    """
    names, group_N = _group_indices(classes, groups)
    size_G = np.bincount(group_N, minlength=len(names))
    group_I, predicted_group_I = group_N[outcomes.label_I], group_N[outcomes.predicted_I]
    correct_I = outcomes.predicted_I == outcomes.label_I
    scores = []
    for index, name in enumerate(names):
        in_group_I = group_I == index
        images, right = int(in_group_I.sum()), int((correct_I & in_group_I).sum())
        if images:
            outer = int((in_group_I & (predicted_group_I != index)).sum())
            accuracy, share = share_score(right, images), share_score(outer, images)
            errors = Score(outer, share.low * images, share.high * images)
            scores.append(GroupScore(name, int(size_G[index]), images, right, accuracy, errors))
    return scores


def group_accuracy(outcomes: LabelOutcomes, classes: Sequence[str], groups: Mapping[str, str]) -> Score:
    """Return the share of images whose predicted class is in the group of their label."""
    _, group_N = _group_indices(classes, groups)
    hits = int((group_N[outcomes.label_I] == group_N[outcomes.predicted_I]).sum())
    return share_score(hits, len(outcomes.label_I))


def _group_indices(classes: Sequence[str], groups: Mapping[str, str]) -> tuple[list[str], Ints]:
    """Return the sorted names of the groups, and the index of each class's group."""
    names = sorted({groups[name] for name in classes})
    position = {name: index for index, name in enumerate(names)}
    return names, np.array([position[groups[name]] for name in classes])
