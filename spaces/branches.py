"""The points of a space where they can be counted: for a sampler that should draw none of them twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..trials.config import TrialConfig
from ..trials.fields import get_field
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
    found = [Branch({})]
    for dimension in space.dimensions:
        found = [grown for branch in found for grown in _grow(branch, dimension, config)]
        if len(found) > LIMIT:
            return [Branch({}, open=True)]
    return found


def _grow(branch: Branch, dimension: Dimension, config: TrialConfig) -> list[Branch]:
    asked = {name: branch.params.get(name, get_field(config, name)) for name in dimension.when}
    if branch.open or any(asked[name] not in values for name, values in dimension.when.items()):
        return [branch]
    values = _values(dimension)
    if values is None:
        return [Branch(branch.params, open=True)]
    return [Branch({**branch.params, dimension.name: value}) for value in values]


def _values(dimension: Dimension) -> Sequence[Scalar] | None:
    """What the dimension can be; None for too much to count."""
    if isinstance(dimension, Choice):
        return dimension.choices
    if dimension.low == dimension.high:
        return [dimension.low]
    if isinstance(dimension, Int) and (dimension.high - dimension.low) // dimension.step < LIMIT:
        return range(dimension.low, dimension.high + 1, dimension.step)
    return None
