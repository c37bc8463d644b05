"""The threshold of the answer ``unknown``."""

import numpy as np
import pytest

from venation.trials.unknown import answer, choose_threshold


def test_of_right_answers_95_in_100_are_kept() -> None:
    right = np.linspace(0.2, 0.99, 100)
    # Wrong answers do not count, however sure they are.
    logloss = -np.log(np.concatenate((right, np.full(50, 0.001))))
    label, answered = np.zeros(150, int), np.array([0] * 100 + [1] * 50)
    threshold = choose_threshold(label, answered, logloss)
    assert threshold is not None and (right >= threshold).sum() == 96
    assert threshold == pytest.approx(sorted(right)[4], abs=1e-4)


def test_one_right_answer_keeps_its_answer_and_none_gives_no_threshold() -> None:
    threshold = choose_threshold(np.array([1]), np.array([1]), -np.log([0.34567]))
    assert threshold == 0.3456
    assert choose_threshold(np.array([1]), np.array([0]), np.array([0.5])) is None


@pytest.mark.parametrize(
    ("probability", "threshold", "said"), [(0.07, 0.5, "unknown"), (0.5, 0.5, "oak"), (0.07, None, "oak")]
)
def test_an_answer_below_the_threshold_is_unknown(probability: float, threshold: float | None, said: str) -> None:
    assert answer("oak", probability, threshold) == said
