"""Grown leaves: veins inside the blade, closed areoles, distinct cultivars, the blade's shape."""

import numpy as np
import pytest

from venation.data.venation_model import RANGES, Blade, Traits, grow_leaf


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Return which points (P, 2) are in the polygon (M, 2), by crossing numbers."""
    (x0, y0), (x1, y1) = polygon.T[..., None], np.roll(polygon, -1, axis=0).T[..., None]
    x, y = points.T
    spans = (y0 > y) != (y1 > y)
    run = np.where(y1 == y0, 1.0, y1 - y0)
    return (spans & (x < x0 + (y - y0) * (x1 - x0) / run)).sum(axis=0) % 2 == 1


def test_veins_lie_inside_the_blade() -> None:
    for cultivar in range(12):
        leaf = grow_leaf(Traits.of(cultivar), np.random.default_rng(cultivar))
        assert inside(leaf.points[1:], leaf.outline).all()
        assert leaf.points[0] == pytest.approx([0.0, 0.0])
        assert len(leaf.widths) == len(leaf.edges)
        assert leaf.widths.max() <= 1.0 and leaf.widths.min() > 0.2


def test_veins_close_into_areoles() -> None:
    for cultivar in range(6):
        leaf = grow_leaf(Traits.of(cultivar), np.random.default_rng(cultivar))
        # Euler: a connected graph of P points and E edges has E - P + 1 independent loops.
        assert len(leaf.edges) - len(leaf.points) + 1 > 15


def test_cultivars_differ_and_stay_within_the_ranges() -> None:
    low, width = (np.array([r[i] - (r[0] if i else 0) for r in RANGES.values()]) for i in (0, 1))
    place = np.array([[getattr(Traits.of(c), name) for name in RANGES] for c in range(40)])
    place = (place - low) / width
    assert (place >= 0).all() and (place <= 1).all()
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    assert apart[np.triu_indices(40, 1)].min() > 0.3
    assert Traits.of(3) == Traits.of(3)


def test_blade_reaches_its_half_width_and_closes_at_both_ends() -> None:
    blade = Blade(0.3, 0.6, 0.9)
    assert blade.reach(np.linspace(0, 1, 2001)).max() == pytest.approx(0.3, abs=1e-6)
    assert blade.reach(np.array([-0.1, 0.0, 1.0, 1.2])) == pytest.approx(0.0)
