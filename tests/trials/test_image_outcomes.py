from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, log_loss

from venation.trials.image_outcomes import ImageOutcomes
from venation.trials.metrics import LabelOutcomes

LABELS = np.array([0, 1, 2, 2, 1, 0])
IMAGES = [f"{label}/{index}.png" for index, label in enumerate(LABELS)]


def probabilities(seed: int) -> NDArray[np.float32]:
    """Return random probabilities of three classes for the six images."""
    return np.random.default_rng(seed).dirichlet(np.ones(3), size=6).astype(np.float32)


def outcomes(seed: int) -> ImageOutcomes:
    """Return the outcomes of a random classifier."""
    return ImageOutcomes.of(LabelOutcomes.of(probabilities(seed), LABELS), IMAGES, ["a", "b", "c"])


def test_file_holds_answer_and_log_loss_of_every_image(tmp_path: Path) -> None:
    found = ImageOutcomes.read(outcomes(0).write(tmp_path / "outcomes.json"))
    assert (found.images, found.classes) == (tuple(IMAGES), ("a", "b", "c"))
    np.testing.assert_array_equal(found.label_I, LABELS)
    np.testing.assert_array_equal(found.answer_I, probabilities(0).argmax(axis=1))
    assert found.logloss_I.mean() == pytest.approx(log_loss(LABELS, probabilities(0)), abs=1e-5)


def test_classifiers_are_compared_on_the_images_that_both_have() -> None:
    first, second = outcomes(0), outcomes(3)
    order = [4, 1, 3, 2]
    part = ImageOutcomes(
        tuple(IMAGES[index] for index in order),
        second.classes,
        second.label_I[order],
        second.answer_I[order],
        second.logloss_I[order],
    )
    found = first.compare(part)
    assert found is not None and found.images == 4
    common = sorted(order)
    expected = accuracy_score(LABELS[common], first.answer_I[common]) - accuracy_score(
        LABELS[common], second.answer_I[common]
    )
    assert found.difference == pytest.approx(expected)


def test_no_common_image_means_no_comparison() -> None:
    first = outcomes(0)
    other = ImageOutcomes(("x.png",), first.classes, first.label_I[:1], first.answer_I[:1], first.logloss_I[:1])
    assert first.compare(other) is None
