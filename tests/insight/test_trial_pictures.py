"""Pictures of trials: places of points, cells and names in the SVG."""

import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from venation.insight.trial_pictures import draw_confusion, draw_curve
from venation.trials.image_outcomes import ImageOutcomes

SVG = "{http://www.w3.org/2000/svg}"


def outcomes(label: list[int], answer: list[int], classes: tuple[str, ...]) -> ImageOutcomes:
    images = tuple(map(str, label))
    return ImageOutcomes(images, classes, np.array(label), np.array(answer), np.zeros(len(label)))


def test_a_curve_has_its_finite_points_in_order() -> None:
    root = ET.fromstring(draw_curve({0: 0.25, 2: 0.75, 1: float("nan"), 3: 0.5}, "iou <&"))
    x, y = ([float(circle.attrib[axis]) for circle in root.iter(f"{SVG}circle")] for axis in ("cx", "cy"))
    assert len(x) == 3 and x == sorted(x)
    # Epochs 1, 3, 4 and values 0.25, 0.75, 0.5, the larger the higher.
    assert (x[1] - x[0]) / (x[2] - x[0]) == pytest.approx(2 / 3, abs=0.01)
    assert (y[0] - y[1]) / (y[0] - y[2]) == pytest.approx(2, abs=0.02)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"0.25", "0.5", "0.75", "1", "4", "iou <& after each epoch"} == set(texts)


def test_a_curve_of_one_value_is_drawn() -> None:
    assert len(list(ET.fromstring(draw_curve({0: 1.0}, "accuracy")).iter(f"{SVG}circle"))) == 1


def test_a_confusion_matrix_counts_as_scikit_learn_does() -> None:
    label, answer = [0, 0, 0, 1, 1, 2], [0, 0, 2, 1, 0, 2]
    root = ET.fromstring(draw_confusion(outcomes(label, answer, ("a<b", "an ä", "c" * 40))))
    texts = Counter(text.text for text in root.iter(f"{SVG}text"))
    expected = Counter(str(count) for count in confusion_matrix(label, answer).ravel() if count)
    assert {text: texts[text] for text in expected} == expected
    assert texts["a<b"] == texts["an ä"] == 2 and not texts["c" * 40]


def test_two_hundred_classes_have_no_names() -> None:
    names = tuple(f"class {index}" for index in range(200))
    root = ET.fromstring(draw_confusion(outcomes(list(range(200)), list(range(200)), names)))
    assert len(list(root.iter(f"{SVG}text"))) == 1 and len(list(root.iter(f"{SVG}rect"))) == 202
