import numpy as np

from venation.bundles.confused import most_confused, weakest_classes
from venation.trials.metrics import LabelOutcomes

CLASSES = ("ash", "beech", "oak")
# Worked by hand: three ashes taken for oaks, one beech for an ash, everything else right.
TRUE = np.array([0] * 5 + [1] * 4 + [2] * 2)
ANSWERED = np.array([0, 0, 2, 2, 2, 1, 1, 1, 0, 2, 2])


def outcomes() -> LabelOutcomes:
    """Return the outcomes of a classifier that is sure of each answer."""
    return LabelOutcomes.of(np.eye(3)[ANSWERED], TRUE)


def test_most_frequent_errors_come_first() -> None:
    assert most_confused(outcomes(), CLASSES) == [
        {"true": "ash", "answered": "oak", "count": 3, "images": 5},
        {"true": "beech", "answered": "ash", "count": 1, "images": 4},
    ]


def test_classes_without_an_error_are_not_weak() -> None:
    assert weakest_classes(outcomes(), CLASSES) == [
        {"class": "ash", "recall": 0.4, "images": 5},
        {"class": "beech", "recall": 0.75, "images": 4},
    ]


def test_as_many_pairs_as_asked_for() -> None:
    assert [pair["true"] for pair in most_confused(outcomes(), CLASSES, count=1)] == ["ash"]
