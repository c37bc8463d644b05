"""Vein growth: relative neighbours by definition, joins at sources, bounds and free ends."""

import numpy as np
import pytest

from venation.data.space_colonization import Network, close_free_ends, colonize, relative_neighbours


def everywhere(points: np.ndarray) -> np.ndarray:
    """Allow veins to grow to every point."""
    return np.ones(len(points), dtype=bool)


def test_relative_neighbours_match_the_definition() -> None:
    rng = np.random.default_rng(0)
    points, sources = rng.random((10, 2)), rng.random((6, 2))
    index, distance, related = relative_neighbours(points, sources)
    for s, source in enumerate(sources):
        d = np.linalg.norm(points - source, axis=1)
        for v, flag in zip(index[s], related[s], strict=True):
            lens = [max(d[u], np.linalg.norm(points[u] - points[v])) < d[v] for u in range(10) if u != v]
            assert flag == (not any(lens))
        assert distance[s] == pytest.approx(d[index[s]])


def test_a_source_between_two_veins_joins_both() -> None:
    start = Network(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([[0, 1], [2, 3]]))
    points, edges = colonize(start, np.array([[0.5, 0.0]]), step=0.05, within=everywhere)
    at = int(np.linalg.norm(points - [0.5, 0.0], axis=1).argmin())
    assert points[at] == pytest.approx([0.5, 0.0])
    assert (edges == at).sum() == 2


def test_veins_stay_within_bounds() -> None:
    start = Network(np.array([[0.0, 0.0], [0.0, 1.0]]), np.array([[0, 1]]))
    grown = colonize(start, np.array([[1.0, 0.5]]), step=0.05, within=lambda p: p[:, 0] < 0.5)
    assert 0.4 < grown.points[:, 0].max() < 0.5


def test_a_free_end_joins_a_point_ahead_of_it_only() -> None:
    points = np.array([[0.0, 0.0], [0.0, 1.0], [0.1, 0.5], [0.3, 0.5], [0.5, 0.5], [0.5, 0.6]])
    network = Network(points, np.array([[0, 2], [2, 3], [4, 5]]))
    closed = close_free_ends(network, keep=3, span=0.25)
    assert closed.edges[3:].tolist() == [[3, 4]]
