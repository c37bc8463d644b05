"""Enumerate the points of a small space, so that a sampler can avoid repeats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..trials.trial_config import TrialConfig
from .fields import get_field
from .space import Choice, Dimension, Int, Scalar, Space

MAX_POINTS = 5000  # points; of more than these a study draws few twice


@dataclass(frozen=True)
class PointGroup:
    """The params of one point, or, if ``open``, the common params of a group of points.

    The points of an open group differ in a real number and in the dimensions after it.
    """

    params: Mapping[str, Scalar]
    open: bool = False


def enumerate_points(space: Space, config: TrialConfig) -> list[PointGroup]:
    """Return every point of ``space`` around ``config``, with real numbers as open groups.

    A space with too many points is one open group without params. Values that cannot form a config
    together are included.
    """
    ends = [_values(dimension) for dimension in space.dimensions if not dimension.when]
    if None in ends or math.prod(len(values) for values in ends if values is not None) > MAX_POINTS:
        return [PointGroup({}, open=True)]
    found = [PointGroup({})]
    for dimension in space.dimensions:
        found = _extend(found, dimension, config)
        if len(found) > MAX_POINTS:
            return [PointGroup({}, open=True)]
    return found


def _extend(found: Sequence[PointGroup], dimension: Dimension, config: TrialConfig) -> list[PointGroup]:
    # Looked up once: there may be thousands of groups.
    given, values = {name: get_field(config, name) for name in dimension.when}, _values(dimension)
    extended: list[PointGroup] = []
    for group in found:
        applies = all(group.params.get(name, given[name]) in accepted for name, accepted in dimension.when.items())
        if group.open or not applies:
            extended.append(group)
        elif values is None:
            extended.append(PointGroup(group.params, open=True))
        else:
            extended += [PointGroup({**group.params, dimension.name: value}) for value in values]
    return extended


def _values(dimension: Dimension) -> Sequence[Scalar] | None:
    """Return the values of a dimension; None if they are too many to enumerate."""
    if isinstance(dimension, Choice):
        return dimension.choices
    if dimension.low == dimension.high:
        return [dimension.low]
    if isinstance(dimension, Int) and (dimension.high - dimension.low) // dimension.step < MAX_POINTS:
        return range(dimension.low, dimension.high + 1, dimension.step)
    return None
