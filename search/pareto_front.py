"""Pareto fronts of points with several objectives: dominance, ranks, order and hypervolume.

Shapes: N points, M objectives. Larger is better in every objective; a caller that minimises one
changes its sign.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def dominates(values_NM: Floats) -> NDArray[np.bool_]:
    """Return ``(N, N)``: whether the point of the row dominates that of the column.

    That is: it is nowhere worse, and somewhere better.
    """
    one, other = values_NM[:, None], values_NM[None]
    beats_NN: NDArray[np.bool_] = np.all(one >= other, axis=-1) & np.any(one > other, axis=-1)
    return beats_NN


def front_ranks(values_NM: Floats) -> NDArray[np.int64]:
    """Return the ``(N,)`` front of each point (Deb et al. 2002).

    It is 0 if no point dominates it, 1 if only points of front 0 do, and so on.
    """
    if values_NM.shape[1] == 1:
        # Nearly as many fronts as points: the general way would look at all pairs once for each.
        ranks: NDArray[np.int64] = np.unique(-values_NM[:, 0], return_inverse=True)[1]
        return ranks
    dominating = dominates(values_NM)
    ranks_N = np.zeros(len(values_NM), dtype=np.int64)
    left_N = np.ones(len(values_NM), dtype=bool)
    rank = 0
    while left_N.any():
        front_N = left_N & ~dominating[left_N].any(axis=0)
        ranks_N[front_N] = rank
        left_N &= ~front_N
        rank += 1
    return ranks_N


def first_front(values_NM: Floats) -> list[int]:
    """Return the points that no other dominates, ordered by the first objective, the best first.

    Equal points are ordered by the next objectives, then by their index. In this order every point
    that dominates another comes before it, so that a point is compared only with the points kept so
    far (Kung et al. 1975).
    """
    kept_FM = np.empty_like(values_NM)
    front: list[int] = []
    for index in _descending(values_NM):
        better_FM = kept_FM[: len(front)]
        value_M = values_NM[index]
        if not ((better_FM >= value_M).all(axis=1) & (better_FM > value_M).any(axis=1)).any():
            kept_FM[len(front)] = value_M
            front.append(int(index))
    return front


def best_first(values_NM: Floats) -> list[int]:
    """Return all points, the best first: front by front, each front in order of widest spread.

    A front starts with its best point in the first objective (of equals: in the next ones, then the
    earlier point). Each further point is the farthest from those before it, every objective scaled
    to the front's range: the order of MO-ASHA's epsilon net (Schmucker et al., arXiv 2106.12639,
    section 3).
    """
    if not len(values_NM):
        return []
    if values_NM.shape[1] == 1:
        order: list[int] = _descending(values_NM).tolist()
        return order
    ranks_N = front_ranks(values_NM)
    return [index for rank in range(int(ranks_N.max()) + 1) for index in _spread(values_NM, ranks_N == rank)]


def _descending(values_NM: Floats) -> NDArray[np.int64]:
    """Return the indices in descending order; the first objective counts first."""
    # Stable, and its last key counts first.
    order_N: NDArray[np.int64] = np.lexsort(-values_NM.T[::-1])
    return order_N


def _spread(values_NM: Floats, front_N: NDArray[np.bool_]) -> Iterable[int]:
    indices = np.flatnonzero(front_N)
    values_FM = values_NM[indices]
    reach_M = np.ptp(values_FM, axis=0)
    scaled_FM = values_FM / np.where(reach_M > 0, reach_M, 1.0)
    chosen = int(_descending(values_FM)[0])
    distance_F = np.full(len(indices), np.inf)
    for _ in indices:
        yield int(indices[chosen])
        distance_F = np.minimum(distance_F, ((scaled_FM - scaled_FM[chosen]) ** 2).sum(axis=1))
        distance_F[chosen] = -1.0
        # A chosen point stays below every other one, whose distance is 0 at least.
        chosen = int(np.argmax(distance_F))


def hypervolume(values_NM: Floats, worst_M: Floats) -> float:
    """Return the volume that is better than ``worst_M`` and dominated by some point.

    Exact, by slicing along the last objective (While et al. 2006); meant for some hundred points of
    up to four objectives.
    """
    inside_NM = values_NM[(values_NM > worst_M).all(axis=1)] - worst_M
    return _volume(inside_NM)


def _volume(values_NM: Floats) -> float:
    if not len(values_NM):
        return 0.0
    values_NM = values_NM[np.argsort(-values_NM[:, -1], kind="stable")]
    heights_N = values_NM[:, -1]
    if values_NM.shape[1] == 1:
        return float(heights_N[0])
    thickness_N = heights_N - np.append(heights_N[1:], 0.0)
    if values_NM.shape[1] == 2:
        return float(thickness_N @ np.maximum.accumulate(values_NM[:, 0]))
    slices = (thick * _volume(_front(values_NM[: i + 1, :-1])) for i, thick in enumerate(thickness_N) if thick > 0)
    return float(sum(slices))


def _front(values_NM: Floats) -> Floats:
    """Return the points without dominated ones and without duplicates."""
    unique_NM: Floats = np.unique(values_NM, axis=0)
    return unique_NM[~dominates(unique_NM).any(axis=0)]
