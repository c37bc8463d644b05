"""Figures of a data set: images of each class, and how much of an image its structure covers."""

import numpy as np

from ..data.checked import CheckedData
from ..data.samples import SPLITS
from ..wording import counted
from .drawing import BEST, GOOD, PLAIN, WORSE, Canvas, Drawing
from .label_plots import MAX_NAME, NAMED_CLASSES

_COLOURS = {"train": PLAIN, "val": GOOD, "test": BEST, None: WORSE}
_BINS = 30
# Two bars alone would be as wide as the page.
_FEWEST_BARS = 8


def class_counts(checked: CheckedData) -> Drawing | None:
    """Draw the images of every class by split, the largest class first; None without images."""
    classes = checked.by_class()
    labels = sorted(classes, key=lambda label: (-len(classes[label]), label))
    if not labels:
        return None
    canvas = Canvas(height=3.4)
    places, below = np.arange(len(labels)), np.zeros(len(labels))
    for split in (*SPLITS, None):
        numbers = np.array([sum(image.sample.split == split for image in classes[label]) for label in labels])
        if numbers.any():
            canvas.axes.bar(places, numbers, 0.85, bottom=below, color=_COLOURS[split], label=split or "no split")
            below = below + numbers
    if len(labels) <= NAMED_CLASSES:
        canvas.axes.set_xticks(places, [label[:MAX_NAME] for label in labels], rotation=60, ha="right")
    else:
        canvas.axes.set_xlabel("classes by size")
    canvas.axes.set_xlim(-0.7, max(len(labels), _FEWEST_BARS) - 0.3)
    canvas.axes.set_ylabel("images")
    canvas.axes.grid(axis="x", visible=False)
    if any(image.sample.split for image in checked.images):
        canvas.axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
    most, fewest = len(classes[labels[0]]), len(classes[labels[-1]])
    alt = f"{counted(len(labels), 'class', 'classes')} of {fewest} to {counted(most, 'image')}."
    return canvas.finish("classes", "Images of each class", alt)


def mask_shares(checked: CheckedData) -> Drawing | None:
    """Draw how many images have how much of their pixels in the mask; None without masks."""
    shares = checked.mask_shares
    if not shares:
        return None
    canvas = Canvas(height=2.6)
    canvas.axes.hist(100 * np.array(shares), bins=_BINS, color=PLAIN)
    canvas.axes.set_xlabel("pixels in the mask, %")
    canvas.axes.set_ylabel("images")
    canvas.axes.set_xlim(left=0)
    alt = f"The share of pixels in the mask of {counted(len(shares), 'image')}; its median is {_median(shares)} %."
    return canvas.finish("masks", "Share of an image that its mask covers", alt)


def _median(shares: list[float]) -> str:
    return f"{100 * float(np.median(shares)):.3g}"
