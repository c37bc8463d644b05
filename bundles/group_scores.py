"""Errors within a coarse group of classes told from errors across: one sparrow taken for another, or for a gull.

Shapes: I images, N classes, G groups.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..trials.evaluate import RESAMPLES, Score, percentile_score
from ..trials.metrics import Ints, LabelOutcomes


@dataclass(frozen=True)
class GroupScore:
    """One group: how many ``classes`` it has, its ``images``, those that are ``right``, those put into another group.

    ``fine_accuracy`` is right / images and ``outer_errors`` the number put outside (HERBS, section 7), with intervals.
    """

    group: str
    classes: int
    images: int
    right: int
    fine_accuracy: Score
    outer_errors: Score


def group_scores(
    outcomes: LabelOutcomes, classes: Sequence[str], groups: Mapping[str, str], *, seed: int = 0
) -> list[GroupScore]:
    """Every group that has images, by name. Raises KeyError for a class without a group.

    Which classes are together is all that counts: their order and their ids mean nothing. The intervals are those of
    drawing the group's images again, 1000 times, which for counts is to draw from a binomial distribution.
    """
    names, group_N = _numbered(classes, groups)
    size_G = np.bincount(group_N, minlength=len(names))
    group_I, guessed_I = group_N[outcomes.label_I], group_N[outcomes.predicted_I]
    right_I = outcomes.predicted_I == outcomes.label_I
    rng = np.random.default_rng(seed)
    found = []
    for index, name in enumerate(names):
        own_I = group_I == index
        images, right = int(own_I.sum()), int((right_I & own_I).sum())
        if images:
            outer = int((own_I & (guessed_I != index)).sum())
            accuracy = percentile_score(right / images, rng.binomial(images, right / images, RESAMPLES) / images)
            errors = percentile_score(outer, rng.binomial(images, outer / images, RESAMPLES))
            found.append(GroupScore(name, int(size_G[index]), images, right, accuracy, errors))
    return found


def group_accuracy(
    outcomes: LabelOutcomes, classes: Sequence[str], groups: Mapping[str, str], *, seed: int = 0
) -> Score:
    """Share of images whose most probable class is of their label's group."""
    _, group_N = _numbered(classes, groups)
    share = float((group_N[outcomes.label_I] == group_N[outcomes.predicted_I]).mean())
    images = len(outcomes.label_I)
    return percentile_score(share, np.random.default_rng(seed).binomial(images, share, RESAMPLES) / images)


def _numbered(classes: Sequence[str], groups: Mapping[str, str]) -> tuple[list[str], Ints]:
    """The groups' names, sorted, and each class's group by its position there."""
    names = sorted({groups[name] for name in classes})
    position = {name: index for index, name in enumerate(names)}
    return names, np.array([position[groups[name]] for name in classes])
