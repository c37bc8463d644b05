"""Class weights against scikit-learn, and the frequencies of balanced sampling."""

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from venation.data.balance import balanced_order, class_weights


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 2], [2, 1, 0], [0] * 40 + [1] * 4 + [2] * 7], ids=len)
def test_weights_are_scikit_learns(labels: list[int]) -> None:
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))
    np.testing.assert_allclose(class_weights(labels, 3).numpy(), expected, rtol=1e-6)


def test_a_class_without_an_image_has_no_weight() -> None:
    weights = class_weights([0, 0, 0, 2], 4).tolist()
    assert weights == pytest.approx([4 / (2 * 3), 0.0, 2.0, 0.0])


def order(labels: list[int], seed: int) -> list[int]:
    return balanced_order(labels, torch.Generator().manual_seed(seed))


def test_every_class_is_drawn_equally_often() -> None:
    labels = [0] * 40 + [1] * 4 + [2] * 7
    drawn = order(labels, 0)
    assert len(drawn) == len(labels)
    assert Counter(labels[index] for index in drawn) == {0: 17, 1: 17, 2: 17}
    times = Counter(drawn)
    assert {times[index] for index in range(40, 44)} == {4, 5} and {times[index] for index in range(44, 51)} == {2, 3}
    assert max(times[index] for index in range(40)) == 1


def test_the_rest_and_the_images_left_out_change_with_the_seed() -> None:
    labels = [0] * 9 + [1] * 2
    sums = np.zeros(11)
    for seed in range(400):
        drawn = order(labels, seed)
        assert sorted(Counter(labels[index] for index in drawn).values()) == [5, 6]
        sums += np.bincount(drawn, minlength=11)
    # 5.5 draws of a class in the mean, over its images; five standard deviations are 0.14 and 0.1.
    np.testing.assert_allclose(sums[:9] / 400, 5.5 / 9, atol=0.14)
    np.testing.assert_allclose(sums[9:] / 400, 5.5 / 2, atol=0.14)


def test_even_classes_have_every_image_once_in_a_random_order() -> None:
    labels = [0, 1, 2] * 5
    assert sorted(order(labels, 3)) == list(range(15)) and order(labels, 3) != order(labels, 4)
    assert order(labels, 3) == order(labels, 3)
