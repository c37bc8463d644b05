"""Score every head of a plug-in module, and the k most or least confident ones (PIM, HERBS).

Shapes: I images, H heads, N classes, M the numbers of a row (H * N).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .evaluate import Score, share_score
from .metrics import Ints, LabelOutcomes

_TOP = 3


def head_outcomes(rows_IM: NDArray[np.float32], names: Sequence[str], label_I: Ints) -> dict[str, LabelOutcomes]:
    """Return the outcomes of each head, and of the means of several, by name.

    A row has the probabilities of all heads, one head after the other.
    ``highest-k`` is the mean of the k heads that are most confident about the image, by their
    largest probability. ``least-k`` is that of the k least confident ones, which the published code
    calls highest-k: it sorts in ascending order (PIM section 10). The mean of all heads is the
    answer of the network, so k ends before it.
    """
    heads_IHN = rows_IM.reshape(len(rows_IM), len(names), -1)
    found = {name: LabelOutcomes.of(heads_IHN[:, at], label_I) for at, name in enumerate(names)}
    rising_IH = heads_IHN.max(axis=2).argsort(axis=1, kind="stable")
    for name, order_IH in (("highest", rising_IH[:, ::-1]), ("least", rising_IH)):
        total_IN = np.zeros_like(heads_IHN[:, 0])
        for count in range(1, len(names)):
            total_IN = total_IN + np.take_along_axis(heads_IHN, order_IH[:, count - 1, None, None], axis=1)[:, 0]
            found[f"{name}-{count}"] = LabelOutcomes.of(total_IN / count, label_I)
    return found


def head_scores(outcomes: Mapping[str, LabelOutcomes]) -> dict[str, Score]:
    """Return ``accuracy/NAME`` and ``top3/NAME`` of the outcomes, with Wilson's intervals.

    ``top3`` needs more than three classes.
    """
    scores = {}
    for name, labels in outcomes.items():
        ranks = {"accuracy": 1, "top3": _TOP} if labels.num_classes > _TOP else {"accuracy": 1}
        for metric, rank in ranks.items():
            scores[f"{metric}/{name}"] = share_score(int((labels.rank_I < rank).sum()), len(labels.rank_I))
    return scores
