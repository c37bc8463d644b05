"""Dominance, fronts, order and hypervolume against plain loops and the installed Optuna."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from venation.search import pareto_front
from venation.search.asha import RungScores, promotable
from venation.search.pareto_front import best_first, dominates, first_front, front_ranks, hypervolume


def drawn(seed: int, points: int, objectives: int) -> np.ndarray:
    """Few values, so that there are ties and equal points."""
    return np.random.default_rng(seed).integers(0, 6, (points, objectives)).astype(float)


def beats(one: list[float], other: list[float]) -> bool:
    return all(a >= b for a, b in zip(one, other, strict=True)) and one != other


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_dominance_and_fronts_are_those_of_plain_loops_and_of_optuna(seed: int, objectives: int) -> None:
    values_NM = drawn(seed, 40, objectives)
    rows = values_NM.tolist()
    assert dominates(values_NM).tolist() == [[beats(one, other) for other in rows] for one in rows]
    assert front_ranks(values_NM).tolist() == _fast_non_domination_rank(-values_NM).tolist()


def spread_out(front: list[list[float]]) -> list[list[float]]:
    """Order a front in plain loops: the point farthest from all before it is next."""
    reach = [max(c) - min(c) or 1.0 for c in zip(*front, strict=True)]

    def apart(one: list[float], other: list[float]) -> float:
        return sum(((a - b) / r) ** 2 for a, b, r in zip(one, other, reach, strict=True))

    left = sorted(front, reverse=True)
    order = [left.pop(0)]
    while left:
        order.append(max(left, key=lambda one: min(apart(one, other) for other in order)))
        left.remove(order[-1])
    return order


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_best_are_the_first_fronts_each_spread_out_widest(seed: int, objectives: int) -> None:
    # Real numbers: which of two equally far points comes first is not ours to say.
    values_NM = np.random.default_rng(seed).random((30, objectives))
    ranks_N = front_ranks(values_NM)
    fronts = [values_NM[ranks_N == rank].tolist() for rank in range(ranks_N.max() + 1)]
    expected = [point for front in fronts for point in spread_out(front)]
    assert values_NM[best_first(values_NM)].tolist() == expected


def test_the_best_in_the_main_objective_is_first_and_equals_keep_their_order() -> None:
    values_NM = drawn(3, 50, 3)
    order = best_first(values_NM)
    assert sorted(order) == list(range(50))
    assert values_NM[order[0]].tolist() == max(values_NM.tolist())
    same = np.ones((4, 2))
    assert best_first(same) == [0, 1, 2, 3] and best_first(same[:0]) == []
    single_N1 = drawn(4, 50, 1)
    assert best_first(single_N1) == np.argsort(-single_N1[:, 0], kind="stable").tolist()


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_the_hypervolume_is_optuna_s(seed: int, objectives: int) -> None:
    rng = np.random.default_rng(seed)
    for values_NM in (rng.random((25, objectives)), drawn(seed, 25, objectives) / 5):
        worst_M = rng.random(objectives) * 0.3
        inside_NM = values_NM[(values_NM > worst_M).all(axis=1)]
        expected = compute_hypervolume(-inside_NM, -worst_M) if len(inside_NM) else 0.0
        assert hypervolume(values_NM, worst_M) == pytest.approx(expected, rel=1e-12)


def test_the_hypervolume_counts_cells() -> None:
    values_NM = drawn(7, 12, 3)
    cells = {
        cell
        for point in values_NM.astype(int).tolist()
        for cell in itertools.product(*(range(height) for height in point))
    }
    assert hypervolume(values_NM, np.zeros(3)) == len(cells)
    assert hypervolume(values_NM[:0], np.zeros(3)) == 0.0


def test_the_rungs_promote_by_fronts() -> None:
    # Accuracy and minus parameters. Of six one third goes on: the best, then what is farthest from
    # it on the front.
    points = [(0.5, -9.0), (0.9, -8.0), (0.8, -2.0), (0.3, -1.0), (0.2, -5.0), (0.85, -7.0)]
    trials = [RungScores(number, (point,), 0) for number, point in enumerate(points, 1)]
    assert promotable(trials, 3) == [2, 4]
    assert promotable(trials[:2], 3) == []
    assert promotable(trials[:2], 3, last=True) == [2]
    assert promotable([RungScores(0, (points[4],), 0), *trials[:2]], 3) == [2, 0], "the recipe always goes on"


def test_one_objective_as_a_table_of_one_column_is_ranked_as_its_values_are() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        scores = rng.integers(0, 4, 12).tolist()
        plain = [RungScores(number, (float(score),), 0) for number, score in enumerate(scores)]
        table = [RungScores(number, ((float(score),),), 0) for number, score in enumerate(scores)]
        assert promotable(plain, 3) == promotable(table, 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_first_front_matches_plain_loops(seed: int, objectives: int) -> None:
    values_NM = drawn(seed, 60, objectives)
    rows = values_NM.tolist()
    unbeaten = [index for index, one in enumerate(rows) if not any(beats(other, one) for other in rows)]
    assert first_front(values_NM) == sorted(unbeaten, key=lambda index: ([-v for v in rows[index]], index))
    assert first_front(values_NM[:0]) == []


@pytest.mark.parametrize("order", [front_ranks, best_first])
def test_one_objective_compares_no_pairs(
    order: Callable[[np.ndarray], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of thousands of points each is a front of its own.
    monkeypatch.setattr(pareto_front, "dominates", None)
    values_N1 = np.random.default_rng(0).permutation(4000).astype(float)[:, None]
    expected = 3999 - values_N1[:, 0] if order is front_ranks else np.argsort(-values_N1[:, 0])
    assert np.array_equal(np.asarray(order(values_N1)), expected)
