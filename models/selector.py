"""Select the positions of a level that are most certain (PIM section 5, HERBS section 2).

Shapes: B batch, N classes, D width, S positions, K selected ones, F features of any kind.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import UsageError


class Selection(NamedTuple):
    """The K selected positions of each image, best first, and the logits of the other positions."""

    kept_BK: Tensor
    features_BKD: Tensor
    kept_logits_BKN: Tensor
    dropped_logits_BSN: Tensor


def select(logits_BSN: Tensor, features_BSD: Tensor, count: int, *, rule: Literal["own", "image"]) -> Selection:
    """Select the ``count`` positions with the highest scores, in descending order.

    Equal scores keep the order of their positions. Gradients flow through the gathered features and
    logits, not through the ranking.
    """
    order_BS = _rank(_scores(logits_BSN.detach(), rule))
    sorted_BSN = _gather(logits_BSN, order_BS)
    kept_BK = order_BS[:, :count]
    return Selection(kept_BK, _gather(features_BSD, kept_BK), sorted_BSN[:, :count], sorted_BSN[:, count:])


def kept_counts(keep: Sequence[float], sizes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return how many positions of every level ``keep`` selects (see PluginConfig).

    Raises UsageError for an entry that is neither a fraction nor a whole number, or exceeds the
    level's positions.
    """
    return tuple(_kept_count(index, entry, size) for index, (entry, size) in enumerate(zip(keep, sizes, strict=True)))


def _kept_count(index: int, entry: float, size: tuple[int, int]) -> int:
    positions = size[0] * size[1]
    if 0 < entry <= 1:
        return max(1, round(entry * positions))
    if not (math.isfinite(entry) and entry > 1 and float(entry).is_integer()):
        raise UsageError(
            f"plugin.keep[{index}]={entry:g} is neither a fraction nor a number of positions: "
            "give a fraction above 0 and up to 1, or a whole number above 1"
        )
    if entry > positions:
        raise UsageError(
            f"plugin.keep[{index}]={entry:g}, but its level of {size[0]}x{size[1]} has {positions} positions: "
            "give at most that, or a fraction such as 0.9"
        )
    return int(entry)


def _scores(logits_BSN: Tensor, rule: Literal["own", "image"]) -> Tensor:
    """Return each position's probability of a class.

    The class is the position's own best (``own``) or the best of the image's mean logits
    (``image``).
    """
    probability_BSN = logits_BSN.float().softmax(dim=2)
    if rule == "own":
        return probability_BSN.amax(dim=2)
    class_B1 = logits_BSN.float().mean(dim=1).argmax(dim=1, keepdim=True)
    return torch.gather(probability_BSN.mT, 1, class_B1[:, :, None].expand(-1, -1, logits_BSN.shape[1])).squeeze(1)


def _rank(score_BS: Tensor) -> Tensor:
    """Return positions by descending score; equal scores keep their order."""
    if torch.compiler.is_exporting():
        # ONNX has no stable sort, but this becomes TopK, which puts the lower of two equal
        # positions first.
        return score_BS.sort(dim=1, descending=True).indices
    return score_BS.sort(dim=1, descending=True, stable=True).indices


def _gather(x_BSF: Tensor, index_BK: Tensor) -> Tensor:
    return x_BSF.gather(1, index_BK[:, :, None].expand(-1, -1, x_BSF.shape[2]))
