"""Sections about a classifier's answers: classes, confused pairs, pictures, calibration.

Shapes: N classes, I images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundles.confused import most_confused
from ..trials.metrics import Ints, LabelOutcomes, confusion, ece, per_class
from ..wording import counted
from .images import Pictures
from .label_plots import calibration, confusion_matrices
from .page import Section

_PAIRS = 10
_PER_PAIR = 4
_GALLERY = 48


@dataclass(frozen=True)
class Answers:
    """The answers of a classifier on labelled images.

    ``who`` names it, ``split`` the kind of image. ``images`` are keys of ``pictures``, in the order
    of ``labels``. ``has_confidence`` is False if ``labels`` does not know the confidence.
    """

    who: str
    split: str
    images: Sequence[str]
    classes: Sequence[str]
    labels: LabelOutcomes
    pictures: Pictures
    has_confidence: bool = True

    @property
    def wrong(self) -> Ints:
        """The indices of the wrong answers."""
        return np.flatnonzero(self.labels.predicted_I != self.labels.label_I)


def class_section(answers: Answers) -> Section:
    """Return confusion matrix, the most confused pairs with pictures of both, and the classes."""
    section = Section("classes", "Classes")
    total, wrong = len(answers.images), len(answers.wrong)
    section.text(f"{answers.who} answers {total - wrong} of {counted(total, f'{answers.split} image')} correctly.")
    for drawing in confusion_matrices(answers.labels, answers.classes):
        section.figure(drawing)
    _add_pairs(section, answers)
    section.heading("Scores of the classes")
    section.table(class_rows(answers), label="Scores of the classes", numbered=True)
    return section


def class_rows(answers: Answers) -> list[dict[str, Any]]:
    """Return one row for each class: images, recall, precision, F1, and what it is taken for."""
    scores, counts_NN = per_class(answers.labels), confusion(answers.labels)
    np.fill_diagonal(counts_NN, 0)
    rows = []
    for index, name in enumerate(answers.classes):
        other = int(counts_NN[index].argmax())
        times = int(counts_NN[index, other])
        rows.append(
            {
                "class": name,
                "images": int(scores.support_N[index]),
                "recall": float(scores.recall_N[index]),
                "precision": float(scores.precision_N[index]),
                "F1": float(scores.f1_N[index]),
                "taken most often for": f"{answers.classes[other]} ({times})" if times else None,
            }
        )
    return rows


def gallery_section(answers: Answers) -> Section:
    """Return the images with their answers: wrong ones first, the least sure of the truth first."""
    section = Section("images", "Images, wrong answers first")
    target_I = answers.labels.target_probability_I
    right_I = answers.labels.predicted_I == answers.labels.label_I
    order = np.lexsort((target_I, right_I))[:_GALLERY]
    section.text(
        f"{len(order)} of {counted(len(answers.images), 'image')}: wrong answers first, and among equals those in which"
        " the true class has the lowest probability (p)."
    )
    section.pictures(
        answers.pictures.tile(answers.images[i], _caption(answers, i), mark=_mark(answers, i)) for i in order
    )
    return section


def calibration_section(answers: Answers) -> Section:
    """Return whether the probabilities can be believed."""
    section = Section("calibration", "Calibration")
    if not answers.has_confidence:
        section.note(
            "The trial stores no confidence of its answers (it ran before Venation recorded it), so there is no curve."
        )
        return section
    section.text(calibration_words(answers.labels))
    section.figure(calibration(answers.labels))
    return section


def calibration_words(labels: LabelOutcomes) -> str:
    """Return in a sentence how far the confidence can be believed."""
    sure, right = float(labels.confidence_I.mean()), float((labels.predicted_I == labels.label_I).mean())
    found = f"the mean confidence is {100 * sure:.1f} %, the accuracy {100 * right:.1f} %"
    error = f"the expected calibration error is {ece(labels):.3f}"
    if abs(sure - right) < 0.02:
        return f"Confidence and accuracy agree: {found}; {error}."
    way = "too sure" if sure > right else "less sure than it could be"
    return f"The network is {way}: {found}; {error}."


def _add_pairs(section: Section, answers: Answers) -> None:
    pairs = most_confused(answers.labels, answers.classes, count=_PAIRS)
    section.heading("Most confused classes")
    if not pairs:
        section.text("No image was answered wrongly.")
    for pair in pairs:
        true, other = pair["true"], pair["answered"]
        section.text(f"{true} taken for {other}: {pair['count']} of {counted(pair['images'], 'image')}.")
        if answers.pictures.known:
            mistaken = _images_of(answers, answers.classes.index(true), answers.classes.index(other))
            tiles = [answers.pictures.tile(answers.images[i], _caption(answers, i), mark="wrong") for i in mistaken]
            known = answers.pictures.of_class(other, _PER_PAIR)
            section.pictures([*tiles, *(answers.pictures.tile(key, f"a {other}", mark="right") for key in known)])


def _images_of(answers: Answers, true: int, answered: int) -> list[int]:
    labels = answers.labels
    return [int(i) for i in np.flatnonzero((labels.label_I == true) & (labels.predicted_I == answered))[:_PER_PAIR]]


def _caption(answers: Answers, index: int) -> str:
    labels = answers.labels
    true, answered = (answers.classes[each[index]] for each in (labels.label_I, labels.predicted_I))
    share = f"p = {labels.target_probability_I[index]:.2f}"
    return f"{true} ({share})" if true == answered else f"{true} taken for {answered} ({share})"


def _mark(answers: Answers, index: int) -> str:
    return "right" if answers.labels.predicted_I[index] == answers.labels.label_I[index] else "wrong"
