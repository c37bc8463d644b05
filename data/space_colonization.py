"""Grow closed leaf venation by space colonization: auxin sources attract vein tips into loops.

The algorithm is the closed case of Runions et al., "Modeling and visualization of leaf venation
patterns" (SIGGRAPH 2005), with all sources given at the start instead of appearing as the blade
grows. Points are in units of leaf length.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Points = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NEIGHBOURS = 12
MAX_STEPS = 40
MIN_PULL = 0.05
FORWARD = 0.5


class Network(NamedTuple):
    """Vein points (P, 2), and edges (E, 2) between them as row numbers of the points."""

    points: Points
    edges: Rows


def relative_neighbours(points: Points, sources: Points) -> tuple[Rows, Points, Flags]:
    """Return the nearest points of each source (S, 2), and which of them the source pulls.

    A source pulls its relative neighbours. A point is a relative neighbour if no other point is
    nearer both to the source and to it. The result has three arrays (S, K), nearest first: row
    numbers of the points, distances to the source, and whether each is a relative neighbour.
    """
    count = min(NEIGHBOURS, len(points))
    distance, index = cKDTree(points).query(sources, k=count)
    distance, index = distance.reshape(-1, count), index.reshape(-1, count)
    near = points[index]
    apart = np.linalg.norm(near[:, :, None] - near[:, None, :], axis=3)
    reach = distance[:, None, :]
    blocked = ((distance[:, :, None] < reach) & (apart < reach)).any(axis=1)
    return index, distance, ~blocked


def _step(points: Points, pulls: tuple[Points, Rows, Flags], step: float, within: Callable[[Points], Flags]) -> Network:
    """Add a point beyond each pulled vein point, in the mean direction of its sources."""
    sources, index, active = pulls
    source, column = np.nonzero(active)
    tip = index[source, column]
    pull = sources[source] - points[tip]
    pull /= np.linalg.norm(pull, axis=1, keepdims=True)
    total = np.stack([np.bincount(tip, weights=pull[:, axis], minlength=len(points)) for axis in (0, 1)], axis=1)
    length = np.linalg.norm(total, axis=1)
    tips = np.flatnonzero(length > MIN_PULL)
    grown = points[tips] + step * total[tips] / length[tips, None]
    # Otherwise a point that two opposite sources pull in turn would add the same child in every
    # step.
    fresh = (cKDTree(points).query(grown)[0] > 0.5 * step) & within(grown)
    tips, grown = tips[fresh], grown[fresh]
    rows = np.arange(len(points), len(points) + len(grown))
    return Network(grown, np.stack([tips, rows], axis=1))


def colonize(start: Network, sources: Points, *, step: float, within: Callable[[Points], Flags]) -> Network:
    """Grow ``start`` until veins reach every source (S, 2), and join the veins there.

    A source is reached when all its relative neighbours have reached it. ``step`` is the distance
    between points of a new vein. ``within`` returns which points a vein may grow to. When nothing
    grows any more, each remaining source joins the veins that have reached it, if any.
    """
    points, edges = start
    kill = 1.5 * step
    for _ in range(MAX_STEPS):
        if not len(sources):
            break
        index, distance, related = relative_neighbours(points, sources)
        reached = related & (distance < kill)
        done = (reached == related).all(axis=1)
        active = related & ~reached & ~done[:, None]
        grown = _step(points, (sources, index, active), step, within)
        if not len(grown.points):
            done[:] = True
        source, column = np.nonzero(reached & done[:, None])
        joined, place = np.unique(source, return_inverse=True)
        first = len(points) + len(grown.points)
        links = np.stack([index[source, column], first + place], axis=1)
        points = np.concatenate([points, grown.points, sources[joined]])
        edges = np.concatenate([edges, grown.edges, links])
        sources = sources[~done]
    return Network(points, edges)


def close_free_ends(network: Network, *, keep: int, span: float) -> Network:
    """Join each free vein end to the nearest vein point ahead of it within ``span``.

    Ahead means within 60 degrees of the end's direction. The first ``keep`` points stay free. An
    end without such a point stays a freely ending veinlet.
    """
    points, edges = network
    degree = np.bincount(edges.ravel(), minlength=len(points))
    ends = np.flatnonzero((degree == 1) & (np.arange(len(points)) >= keep))
    if not len(ends):
        return network
    mates = np.concatenate([edges, edges[:, ::-1]])
    before = dict(mates[np.isin(mates[:, 0], ends)].tolist())
    heading = points[ends] - points[[before[end] for end in ends.tolist()]]
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    distance, index = cKDTree(points).query(points[ends], k=min(4 * NEIGHBOURS, len(points)))
    ahead = np.einsum("skd,sd->sk", points[index] - points[ends, None], heading)
    fits = (ahead > FORWARD * distance) & (distance < span) & (distance > 0)
    found = fits.any(axis=1)
    target = index[np.arange(len(ends)), fits.argmax(axis=1)]
    return Network(points, np.concatenate([edges, np.stack([ends, target], axis=1)[found]]))
