"""Fine accuracy and outer errors against the double loop of HERBS on CUB-200-2011 groups."""

import numpy as np
import pytest
from scipy.stats import binom

from venation.bundles.group_scores import group_accuracy, group_scores
from venation.trials.metrics import LabelOutcomes

# HERBS, section 7: zero-based ids, first and last.
BIRDS = {
    "flycatcher": (36, 42),
    "gull": (58, 65),
    "kingfisher": (78, 82),
    "sparrow": (112, 132),
    "tern": (140, 146),
    "vireo": (150, 156),
    "warbler": (157, 181),
    "woodpecker": (186, 191),
    "wren": (192, 198),
}
CLASSES = [f"{number:03d}" for number in range(200)]


def bird_groups() -> dict[str, str]:
    groups = {name: f"alone {name}" for name in CLASSES}
    for group, (first, last) in BIRDS.items():
        groups |= {CLASSES[number]: group for number in range(first, last + 1)}
    return groups


def outcomes_of(label: np.ndarray, guess: np.ndarray, num_classes: int = 200) -> LabelOutcomes:
    return LabelOutcomes.of(np.eye(num_classes)[guess], label)


def test_scores_equal_the_matrices_of_the_spec() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 200, 4000)
    near = np.clip(label + rng.integers(-3, 4, 4000), 0, 199)
    guess = np.where(rng.random(4000) < 0.6, label, near)
    scores = {score.group: score for score in group_scores(outcomes_of(label, guess), CLASSES, bird_groups())}
    for group, (first, last) in BIRDS.items():
        size = last - first + 1
        matrix = np.zeros((size, size + 1), dtype=int)
        for true, said in zip(label, guess, strict=True):
            if first <= true <= last:
                matrix[true - first, said - first if first <= said <= last else size] += 1
        found = scores[group]
        assert (found.classes, found.images, found.right) == (size, matrix.sum(), np.trace(matrix))
        assert found.fine_accuracy.value == np.trace(matrix) / matrix.sum()
        assert found.outer_errors.value == matrix[:, -1].sum() > 0
    assert sum(score.images for score in scores.values()) == 4000


def test_the_class_after_the_wrens_is_an_outer_error() -> None:
    """The published matrix of the wrens is too wide: it counts class 199 as a wren."""
    label, guess = np.array([198, 198, 192]), np.array([199, 198, 193])
    (wren,) = group_scores(outcomes_of(label, guess), CLASSES, bird_groups())
    assert (wren.group, wren.images, wren.right, wren.outer_errors.value) == ("wren", 3, 1, 1)


def test_classes_of_a_group_may_be_apart_and_empty_groups_are_left_out() -> None:
    groups = {"a": "x", "b": "y", "c": "x", "d": "z"}
    label, guess = np.array([0, 0, 2, 1]), np.array([2, 1, 2, 1])
    scores = group_scores(outcomes_of(label, guess, 4), list("abcd"), groups)
    assert [(s.group, s.classes, s.images, s.right, s.outer_errors.value) for s in scores] == [
        ("x", 2, 3, 1, 1),
        ("y", 1, 1, 1, 0),
    ]
    assert group_accuracy(outcomes_of(label, guess, 4), list("abcd"), groups).value == 3 / 4


def test_intervals_are_binomial() -> None:
    groups = {"a": "x", "b": "x", "c": "y"}
    label = np.zeros(300, dtype=np.int64)
    guess = np.repeat([0, 1, 2], [210, 60, 30])
    (score,) = group_scores(outcomes_of(label, guess, 3), list("abc"), groups)
    low, high = binom.ppf([0.025, 0.975], 300, 0.7) / 300
    assert (score.fine_accuracy.low, score.fine_accuracy.high) == pytest.approx((low, high), abs=0.015)
    low, high = binom.ppf([0.025, 0.975], 300, 0.1)
    assert (score.outer_errors.low, score.outer_errors.high) == pytest.approx((low, high), abs=3)
    whole = group_accuracy(outcomes_of(label, guess, 3), list("abc"), groups)
    assert whole.low < whole.value == 0.9 < whole.high
