"""Write the tables of an evaluation: scores, classes, confusions and groups."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..escaping import table_cell
from ..trials.metrics import LabelOutcomes, confusion, per_class
from .confusion_plot import draw_confusion
from .group_scores import GroupScore
from .output_files import as_png, write_output
from .prediction_table import CLASS_COLUMN

_DIGITS = 6


def write_tables(
    out: Path,
    rows: Sequence[dict[str, Any]],
    labels: Mapping[str, LabelOutcomes],
    classes: Sequence[str],
    groups: Mapping[str, Sequence[GroupScore]],
) -> None:
    """Write scores, per-class scores and confusions, and with groups the group scores.

    The files are ``scores.csv``, ``per_class.csv``, ``confusion.csv``, ``confusion.png`` and
    ``groups.csv``. ``labels`` and ``groups`` are by split, the first column (``part``) of every
    table. Raises UserError if the folder cannot be written.
    """
    counts = {split: confusion(outcomes) for split, outcomes in labels.items()}
    write_output(out / "scores.csv", _csv(list(rows[0]), (row.values() for row in rows)))
    write_output(
        out / "per_class.csv",
        _csv(["part", "class", "images", "precision", "recall", "f1"], _class_rows(labels, classes)),
    )
    matrix = ((split, name, *row) for split, table in counts.items() for name, row in zip(classes, table, strict=True))
    write_output(out / "confusion.csv", _csv(["part", "true", *classes], matrix))
    write_output(out / "confusion.png", as_png(draw_confusion(counts, classes)))
    if groups:
        write_output(out / "groups.csv", _csv(_GROUP_COLUMNS, _group_rows(groups)))


@dataclass(frozen=True)
class ScoredImages:
    """The images of one split in the order of ``labels``: paths, class probabilities, files.

    ``files`` are the pictures of each image by column, with the same columns for all.
    """

    paths: Sequence[str]
    labels: LabelOutcomes
    probability_IN: NDArray[np.floating]
    files: Sequence[Mapping[str, str | None]]


def write_images(out: Path, images: Mapping[str, ScoredImages], classes: Sequence[str]) -> None:
    """Write ``images.csv``: every image's path, true label and answer, by split.

    ``probability`` is that of the answer, and ``label_probability`` that of the true label, which
    ``rank`` places among all classes, from 1. Every class has a column with its probability, and
    every kind of picture one with its file. Raises UserError if the folder cannot be written.
    """
    rows = (row for split, scored in images.items() for row in _image_rows(split, scored, classes))
    pictures = list(next(iter(images.values())).files[0])
    columns = [*_IMAGE_COLUMNS, *(f"{CLASS_COLUMN}{name}" for name in classes), *pictures]
    write_output(out / "images.csv", _csv(columns, rows))


_IMAGE_COLUMNS = ["part", "image", "label", "answer", "right", "probability", "label_probability", "rank"]


def _image_rows(split: str, images: ScoredImages, classes: Sequence[str]) -> Iterable[Sequence[Any]]:
    labels = images.labels
    for at, path in enumerate(images.paths):
        label, answer = int(labels.label_I[at]), int(labels.predicted_I[at])
        shares = (labels.confidence_I[at], labels.target_probability_I[at])
        yield (
            *(split, path, classes[label], classes[answer], int(label == answer)),
            *(round(float(share), _DIGITS) for share in shares),
            int(labels.rank_I[at]) + 1,
            *(round(float(share), _DIGITS) for share in images.probability_IN[at]),
            *images.files[at].values(),
        )


_GROUP_COLUMNS = ["part", "group", "classes", "images", "right", "fine_accuracy", "low", "high", "outer_errors"]


def _group_rows(groups: Mapping[str, Sequence[GroupScore]]) -> Iterable[Sequence[Any]]:
    for split, scores in groups.items():
        for score in scores:
            fine = score.fine_accuracy
            shares = (round(share, _DIGITS) for share in (fine.value, fine.low, fine.high))
            yield (split, score.group, score.classes, score.images, score.right, *shares, int(score.outer_errors.value))


def _class_rows(labels: Mapping[str, LabelOutcomes], classes: Sequence[str]) -> Iterable[Sequence[Any]]:
    for split, outcomes in labels.items():
        scores = per_class(outcomes)
        for index, name in enumerate(classes):
            shares = (scores.precision_N[index], scores.recall_N[index], scores.f1_N[index])
            yield (split, name, scores.support_N[index], *(round(float(share), _DIGITS) for share in shares))


def _csv(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([table_cell(value) for value in row] for row in (columns, *rows))
    return text.getvalue().encode("utf-8", "backslashreplace")
