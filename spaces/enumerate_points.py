"""The points of a space where they can be counted: for a sampler that should draw none of them twice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..trials.trial_config import TrialConfig
from .fields import get_field
from .space import Choice, Dimension, Int, Scalar, Space

LIMIT = 5000  # points; of more than these a study draws few twice


@dataclass(frozen=True)
class Branch:
    """A point, or where it is ``open`` what all points have in common that differ in a real number drawn next."""

    params: Mapping[str, Scalar]
    open: bool = False


def branches(space: Space, config: TrialConfig) -> list[Branch]:
    """Every point of ``space`` around ``config``, branches without end as one; only an open one where they are many.

    Values that make no config together are not left out.
    """
    ends = [_values(dimension) for dimension in space.dimensions if not dimension.when]
    if None in ends or math.prod(len(values) for values in ends if values is not None) > LIMIT:
        return [Branch({}, open=True)]
    found = [Branch({})]
    for dimension in space.dimensions:
        found = _grow(found, dimension, config)
        if len(found) > LIMIT:
            return [Branch({}, open=True)]
    return found


def _grow(found: Sequence[Branch], dimension: Dimension, config: TrialConfig) -> list[Branch]:
    # Asked once: there may be thousands of branches.
    given, values = {name: get_field(config, name) for name in dimension.when}, _values(dimension)
    grown: list[Branch] = []
    for branch in found:
        applies = all(branch.params.get(name, given[name]) in those for name, those in dimension.when.items())
        if branch.open or not applies:
            grown.append(branch)
        elif values is None:
            grown.append(Branch(branch.params, open=True))
        else:
            grown += [Branch({**branch.params, dimension.name: value}) for value in values]
    return grown


def _values(dimension: Dimension) -> Sequence[Scalar] | None:
    """What the dimension can be; None for too much to count."""
    if isinstance(dimension, Choice):
        return dimension.choices
    if dimension.low == dimension.high:
        return [dimension.low]
    if isinstance(dimension, Int) and (dimension.high - dimension.low) // dimension.step < LIMIT:
        return range(dimension.low, dimension.high + 1, dimension.step)
    return None
