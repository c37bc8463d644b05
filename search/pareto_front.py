"""Points of several objectives side by side: which dominate which, in what order they are best, what they cover.

Shapes: N points, M objectives. Larger is better in every objective; whoever minimises one changes its sign.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def dominates(values_NM: Floats) -> NDArray[np.bool_]:
    """``(N, N)``: whether the point of the row is nowhere worse than that of the column, and somewhere better."""
    one, other = values_NM[:, None], values_NM[None]
    beats_NN: NDArray[np.bool_] = np.all(one >= other, axis=-1) & np.any(one > other, axis=-1)
    return beats_NN


def front_ranks(values_NM: Floats) -> NDArray[np.int64]:
    """``(N,)``: 0 for what nothing dominates, 1 for what only those dominate, and so on (Deb et al. 2002)."""
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
    """What nothing dominates, the best in the first objective first: of equals in the next ones, then the earlier.

    In this order whatever dominates a point comes before it, so that only what was kept has to be looked at (Kung et
    al. 1975).
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
    """The points, the best first: front by front, each in the order in which it is spread out widest.

    A front starts with its best point in the first objective (of equals: in the next ones, then the earlier point);
    each further one is the farthest from those that came before, every objective scaled to the front's range: the
    order of MO-ASHA's epsilon net (Schmucker et al., arXiv 2106.12639, section 3).
    """
    if not len(values_NM):
        return []
    if values_NM.shape[1] == 1:
        order: list[int] = _descending(values_NM).tolist()
        return order
    ranks_N = front_ranks(values_NM)
    return [index for rank in range(int(ranks_N.max()) + 1) for index in _spread(values_NM, ranks_N == rank)]


def _descending(values_NM: Floats) -> NDArray[np.int64]:
    """Indices by the first objective, of equals by the next ones, then as they come; the best first."""
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
        # What was chosen before stays below every other, which is 0 away at least.
        chosen = int(np.argmax(distance_F))


def hypervolume(values_NM: Floats, worst_M: Floats) -> float:
    """The volume of all that is better than ``worst_M`` in every objective and that some point dominates.

    Exact, by slicing along the last objective (While et al. 2006); meant for some hundred points of up to four
    objectives.
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
    """Without what is dominated, of equals one: they cover the same."""
    unique_NM: Floats = np.unique(values_NM, axis=0)
    return unique_NM[~dominates(unique_NM).any(axis=0)]
