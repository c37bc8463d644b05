"""Grow the venation of a synthetic leaf: blade, midrib and secondary veins, then finer veins.

Coordinates: x runs along the midrib from base (0) to tip (1), y across it; the unit is the leaf's
length. Angles are in radians unless a name says degrees.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from .space_colonization import Flags, Network, Points, Rows, close_free_ends, colonize

STEP = 0.014
RIM = 0.88
MIDRIB_END, SECONDARY_WIDTH, FINE_WIDTH = 0.45, 0.62, 0.40

# Smallest and largest mean of each trait over cultivars; standard deviation of leaves around their
# cultivar's mean.
RANGES: dict[str, tuple[float, float, float]] = {
    "aspect": (0.62, 0.70, 0.02),
    "angle": (34.0, 78.0, 2.0),
    "arch": (0.15, 0.75, 0.05),
    "areole": (0.060, 0.150, 0.003),
    "tortuosity": (0.02, 0.14, 0.01),
    "pairs": (4.5, 11.0, 0.25),
    "taper": (0.40, 0.75, 0.04),
}


@dataclass(frozen=True)
class Traits:
    """The traits of a cultivar: the means of its venation's geometry.

    angle: degrees between midrib and secondaries. aspect: blade width over length. pairs:
    secondaries on each side. taper: a secondary's width at its end over that at its start.
    tortuosity: standard deviation of a secondary's direction, radians. areole: distance between
    auxin sources, leaf lengths. arch: how far a secondary turns towards the tip, radians.
    """

    angle: float
    aspect: float
    pairs: float
    taper: float
    tortuosity: float
    areole: float
    arch: float

    @classmethod
    def of(cls, cultivar: int) -> Self:
        """Return the traits of a cultivar, the same in every data set.

        Cultivars lie on an additive low-discrepancy sequence (Roberts' R_d: steps g**-1 .. g**-d
        modulo 1, with g the root of g**(d+1) = g + 1), so any number of cultivars differ from each
        other.
        """
        count = len(RANGES)
        root = 2.0
        for _ in range(64):
            root = (1.0 + root) ** (1.0 / (count + 1))
        place = (0.5 + (cultivar + 1) * root ** -np.arange(1.0, count + 1)) % 1.0
        means = {
            name: low + (high - low) * float(u) for (name, (low, high, _)), u in zip(RANGES.items(), place, strict=True)
        }
        return cls(**means)

    def vary(self, rng: np.random.Generator) -> Self:
        """Return one leaf's traits: the cultivar's plus normal deviates, clipped at two sigma."""
        moves = np.clip(rng.standard_normal(len(RANGES)), -2.0, 2.0)
        spreads = {name: spread for name, (_, _, spread) in RANGES.items()}
        own = {name: getattr(self, name) + spreads[name] * float(m) for name, m in zip(spreads, moves, strict=True)}
        return replace(self, **own)


@dataclass(frozen=True)
class Blade:
    """A blade; half its width at x is x**base * (1 - x)**tip, scaled to the peak ``half_width``."""

    half_width: float
    base: float
    tip: float

    def reach(self, x: Points) -> Points:
        """Return the distance from midrib to margin at each x; 0 beyond the ends of the leaf."""
        inside = np.clip(x, 0.0, 1.0)
        top = self.base / (self.base + self.tip)
        peak = top**self.base * (1.0 - top) ** self.tip
        return self.half_width * inside**self.base * (1.0 - inside) ** self.tip / peak

    def contains(self, points: Points, share: float = 1.0) -> Flags:
        """Return which points (..., 2) lie on the blade with its width scaled by ``share``."""
        x, y = points[..., 0], points[..., 1]
        return (x >= 0.0) & (x <= 1.0) & (np.abs(y) <= share * self.reach(x))

    def outline(self, count: int = 60) -> Points:
        """Return the margin as a closed polygon (2 * count, 2), denser at base and tip."""
        x = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, count))
        y = self.reach(x)
        return np.concatenate([np.stack([x, y], axis=1), np.stack([x, -y], axis=1)[::-1]])


@dataclass(frozen=True)
class Leaf:
    """A grown leaf: margin (M, 2), vein points (P, 2), edges (E, 2), edge widths (E,).

    Widths are relative to the midrib's base.
    """

    outline: Points
    points: Points
    edges: Rows
    widths: Points


def _secondaries(traits: Traits, blade: Blade, rng: np.random.Generator) -> tuple[Points, Flags]:
    """Return the secondaries' paths (V, T, 2) and which of their points are on the blade."""
    side = max(3, round(traits.pairs))
    gap = 1.0 / traits.pairs
    origin = 0.03 + 0.92 * (np.arange(side) + 0.35) / side
    start = np.concatenate([origin, origin + 0.5 * gap * rng.uniform(0.2, 0.8)])
    start = np.clip(start + rng.normal(0.0, 0.06 * gap, 2 * side), 0.02, 0.95)
    turn = np.repeat([1.0, -1.0], side)
    steps = np.arange(1, int(0.75 / STEP))
    wobble = np.cumsum(rng.standard_normal((2 * side, len(steps))), axis=1) * np.sqrt(STEP / 0.2)
    angle = np.radians(traits.angle) + rng.normal(0.0, 0.03, (2 * side, 1)) + traits.tortuosity * wobble
    angle = np.maximum(angle - traits.arch * (steps * STEP / blade.half_width) ** 2, 0.12)
    x = start[:, None] + STEP * np.cumsum(np.cos(angle), axis=1)
    y = turn[:, None] * STEP * np.cumsum(np.sin(angle), axis=1)
    path = np.stack([x, y], axis=2)
    return path, np.logical_and.accumulate(blade.contains(path, RIM), axis=1)


def _framework(traits: Traits, blade: Blade, rng: np.random.Generator) -> tuple[Network, Points]:
    """Return midrib and secondaries as one network, and the width of each edge."""
    x = np.linspace(0.0, 0.985, int(0.985 / STEP))
    midrib = np.stack([x, np.zeros_like(x)], axis=1)
    points, edges = [midrib], [np.stack([np.arange(len(x) - 1), np.arange(1, len(x))], axis=1)]
    widths = [1.0 + (MIDRIB_END - 1.0) * x[1:]]
    total = len(midrib)
    for path, kept in zip(*_secondaries(traits, blade, rng), strict=True):
        length = int(kept.sum())
        if length < 3:
            continue
        root = int(np.abs(x - (path[0, 0] - STEP)).argmin())
        rows = np.arange(total, total + length)
        points.append(path[:length])
        edges.append(np.stack([np.concatenate([[root], rows[:-1]]), rows], axis=1))
        widths.append(SECONDARY_WIDTH * np.linspace(1.0, traits.taper, length))
        total += length
    return Network(np.concatenate(points), np.concatenate(edges)), np.concatenate(widths)


def _sources(traits: Traits, blade: Blade, rng: np.random.Generator) -> Points:
    """Return auxin sources (S, 2): a jittered hexagonal lattice, and a row along each margin.

    The lattice has the pitch ``areole`` (rows sqrt(3)/2 apart). The rows let the secondaries join
    in arches.
    """
    pitch = traits.areole
    row, column = np.mgrid[0 : int(1.2 / (0.866 * pitch)), 0 : int(1.4 / pitch)]
    lattice = np.stack([0.866 * pitch * row - 0.1, pitch * (column + 0.5 * (row % 2)) - 0.7], axis=2).reshape(-1, 2)
    moved = lattice + rng.uniform(-0.5, 0.5, 2) * pitch + rng.uniform(-0.28, 0.28, lattice.shape) * pitch
    x = np.arange(0.08, 0.92 - 0.5 * pitch, pitch) + rng.uniform(0.0, 0.5 * pitch)
    rim = np.stack([x, RIM * blade.reach(x)], axis=1)
    return np.concatenate([moved[blade.contains(moved, RIM - 0.5 * pitch / blade.half_width)], rim, rim * [1.0, -1.0]])


def grow_leaf(traits: Traits, rng: np.random.Generator) -> Leaf:
    """Grow one leaf: traits and blade, framework, then the veins that close the areoles."""
    own = traits.vary(rng)
    blade = Blade(0.5 * own.aspect, rng.uniform(0.55, 0.65), rng.uniform(0.80, 0.95))
    frame, frame_widths = _framework(own, blade, rng)
    network = colonize(frame, _sources(own, blade, rng), step=STEP, within=lambda p: blade.contains(p, RIM + 0.05))
    network = close_free_ends(network, keep=len(frame.points), span=1.5 * own.areole)
    fine = np.full(len(network.edges) - len(frame.edges), FINE_WIDTH)
    return Leaf(blade.outline(), network.points, network.edges, np.concatenate([frame_widths, fine]))
