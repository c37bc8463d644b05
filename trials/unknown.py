"""The answer ``unknown``: a threshold on the probability of the most probable class.

The maximum class probability separates known from unknown images (Hendrycks and Gimpel 2017, "A
Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks").
"""

import math

import numpy as np

from .metrics import Floats, Ints

UNKNOWN = "unknown"
# The share of correctly answered validation images that keep their answer.
KEPT = 0.95


def choose_threshold(label_I: Ints, answer_I: Ints, logloss_I: Floats) -> float | None:
    """Return the probability below which an answer is ``unknown``; None without a right answer.

    ``KEPT`` of the validation images that are answered correctly have it or more. Their
    probability is that of the true class, exp(-log-loss).
    """
    right_J = np.exp(-logloss_I[label_I == answer_I])
    if not len(right_J):
        return None
    # Rounded down, so that the image at the edge keeps its answer.
    return math.floor(1e4 * float(np.quantile(right_J, 1 - KEPT, method="lower"))) / 1e4


def answer(label: str, probability: float, threshold: float | None) -> str:
    """Return ``label``, or ``unknown`` if its probability is below the threshold."""
    return UNKNOWN if threshold is not None and probability < threshold else label
