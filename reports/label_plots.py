"""Figures of a classifier's answers: confusion matrices and the calibration curve.

Shapes: N classes, I images.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from ..trials.metrics import CALIBRATION_BINS, Floats, Ints, LabelOutcomes, confusion, ece
from ..wording import counted
from .drawing import BEST, PLAIN, Canvas, Drawing

# The classes whose names and counts one matrix can show.
NAMED_CLASSES = 40
MAX_NAME = 24
_RIGHT, _WRONG = (0.13, 0.44, 0.71), (0.84, 0.15, 0.12)


def confusion_matrices(labels: LabelOutcomes, classes: Sequence[str]) -> list[Drawing]:
    """Draw the confusion matrix; of many classes, all without names and the confused with names.

    The opacity of a cell is the square root of its share of the row, so that single errors stay
    visible: blue on the diagonal, red elsewhere.
    """
    counts_NN = confusion(labels)
    if len(classes) <= NAMED_CLASSES:
        return [_named(counts_NN, classes, np.arange(len(classes)), "confusion", "Confusion matrix")]
    drawings = [_overview(counts_NN)]
    chosen = most_confusing(counts_NN, NAMED_CLASSES)
    if len(chosen) > 1:
        title = f"The {len(chosen)} most confused classes, confused ones side by side"
        drawings.append(_named(counts_NN, classes, chosen, "confusion-detail", title))
    return drawings


def most_confusing(counts_NN: Ints, count: int) -> Ints:
    """Return at most ``count`` classes, the most confused pairs, in an order that groups them.

    Errors count in both directions. The order is that of the leaves of average linkage with the
    mutual errors as similarity (optimal leaf order, Bar-Joseph et al. 2001).
    """
    wrong_NN = counts_NN - np.diag(np.diag(counts_NN))
    wrong_NN = wrong_NN + wrong_NN.T
    pairs = np.argwhere(np.triu(wrong_NN))
    kept: set[int] = set()
    for pair in pairs[np.argsort(-wrong_NN[tuple(pairs.T)], kind="stable")]:
        if len(kept | set(pair.tolist())) <= count:
            kept |= set(pair.tolist())
    chosen: Ints = np.array(sorted(kept), dtype=np.int64)
    if len(chosen) < 3:
        return chosen
    mutual = wrong_NN[np.ix_(chosen, chosen)]
    distance = 1.0 - mutual / (1.0 + mutual.max())
    np.fill_diagonal(distance, 0.0)
    order: Ints = chosen[leaves_list(linkage(squareform(distance), "average", optimal_ordering=True))]
    return order


def calibration(labels: LabelOutcomes) -> Drawing:
    """Draw the accuracy against the confidence in 15 equal bins, and the images in each bin."""
    bin_I = np.ceil(labels.confidence_I * CALIBRATION_BINS).astype(np.int64).clip(1, CALIBRATION_BINS) - 1
    images_B = np.bincount(bin_I, minlength=CALIBRATION_BINS)
    used = np.flatnonzero(images_B)
    right_B = np.bincount(bin_I, weights=labels.predicted_I == labels.label_I, minlength=CALIBRATION_BINS)
    sure_B = np.bincount(bin_I, weights=labels.confidence_I, minlength=CALIBRATION_BINS)
    accuracy, confidence = right_B[used] / images_B[used], sure_B[used] / images_B[used]
    canvas = Canvas(height=3.6, columns=2)
    axes, below = canvas.grid[0]
    axes.plot([0, 1], [0, 1], "--", color="#9aa0a6", label="calibrated")
    axes.plot(confidence, accuracy, "o-", color=BEST, label="this network")
    axes.set_xlabel("mean confidence of the answers")
    axes.set_ylabel("accuracy")
    axes.legend(loc="best")
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    below.bar(edges[:-1], images_B, width=1 / CALIBRATION_BINS, align="edge", color=PLAIN)
    below.set_xlabel("confidence")
    below.set_ylabel("images")
    gap = labels.confidence_I.mean() - (labels.predicted_I == labels.label_I).mean()
    alt = f"Expected calibration error {ece(labels):.3f}; mean confidence minus accuracy {gap:+.3f}."
    return canvas.finish("calibration", "Calibration", alt)


def _overview(counts_NN: Ints) -> Drawing:
    num = len(counts_NN)
    canvas = Canvas(height=9.0)
    axes = canvas.axes
    axes.imshow(_colours(counts_NN), interpolation="nearest")
    ticks = [at for at in range(num) if (at + 1) % _tick_step(num) == 0]
    axes.set_xticks(ticks, [str(at + 1) for at in ticks], fontsize=7)
    axes.set_yticks(ticks, [str(at + 1) for at in ticks], fontsize=7)
    axes.set_xlabel("answered class, by its number in the table of classes")
    axes.set_ylabel("true class")
    wrong = int(counts_NN.sum() - np.trace(counts_NN))
    alt = f"{num} classes, {counted(int(counts_NN.sum()), 'image')}, {counted(wrong, 'wrong answer')}: the red cells."
    return canvas.finish("confusion", f"Confusion matrix of all {num} classes", alt)


def _named(counts_NN: Ints, classes: Sequence[str], chosen: Ints, name: str, title: str) -> Drawing:
    shown = counts_NN[np.ix_(chosen, chosen)]
    names = [classes[index][:MAX_NAME] for index in chosen]
    canvas = Canvas(height=max(3.6, min(10.0, 1.6 + 0.24 * len(names))))
    axes = canvas.axes
    axes.imshow(_colours(shown, counts_NN[chosen].sum(axis=1)), interpolation="nearest", aspect="equal")
    axes.grid(visible=False)
    size = 9 if len(names) <= 15 else 6.5
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    for row, column in np.argwhere(shown):
        dark = shown[row, column] > 0.3 * counts_NN[chosen[row]].sum()
        axes.text(
            column, row, str(shown[row, column]), ha="center", va="center", fontsize=size - 0.5,
            color="white" if dark else None,
        )  # fmt: skip
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    wrong = int(shown.sum() - np.trace(shown))
    alt = (
        f"Counts of {len(names)} classes, rows true and columns answered; {counted(wrong, 'answer')} off the diagonal."
    )
    return canvas.finish(name, title, alt)


def _colours(counts_NN: Ints, images_N: Ints | None = None) -> NDArray[np.float64]:
    """Return the colour and opacity of each cell ``(N, N, 4)``; ``images_N`` are those of a row."""
    images_N = counts_NN.sum(axis=1) if images_N is None else images_N
    share_NN: Floats = np.sqrt(counts_NN / np.maximum(images_N, 1)[:, None])
    cells = np.empty((*counts_NN.shape, 4))
    cells[..., :3] = _WRONG
    cells[np.diag_indices(len(counts_NN))] = (*_RIGHT, 0)
    cells[..., 3] = np.where(counts_NN > 0, np.maximum(share_NN, 0.15), 0.0)
    return cells


def _tick_step(num: int) -> int:
    return 10 if num <= 300 else 50
