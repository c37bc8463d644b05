"""A sampler that does not repeat points: a repeated training would add nothing about the space."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from ..spaces.enumerate_points import PointGroup
from ..storage.attributes import FIXED_PARAMS


class DistinctSampler(BaseSampler):
    """Wrap ``sampler`` and replace a point that another trial already has by a random unused point.

    A sampled value is replaced only if all points that it can lead to are used, by trials that ran
    or are enqueued. ``branches`` are the space's; a branch with a real-valued dimension is never
    used up. An instance serves one trial: it reads the points of the other trials once.
    """

    def __init__(self, sampler: BaseSampler, branches: Sequence[PointGroup], *, seed: int) -> None:
        self._sampler = sampler
        self._rng = np.random.default_rng(seed)
        self._branches = () if all(branch.open for branch in branches) else branches
        self._left: list[PointGroup] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegate to the wrapped sampler."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample with the wrapped sampler; replace a used point."""
        return self._fresh(study, trial, self._sampler.sample_relative(study, trial, search_space))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample with the wrapped sampler; replace a value that leads to used points only."""
        drawn = self._sampler.sample_independent(study, trial, param_name, param_distribution)
        return self._fresh(study, trial, {param_name: drawn})[param_name]

    def _fresh(self, study: optuna.Study, trial: FrozenTrial, drawn: dict[str, Any]) -> dict[str, Any]:
        if not drawn or not self._branches:
            return drawn
        if self._left is None:
            self._left = _unused(self._branches, study, trial)
        self._left = [branch for branch in self._left if _agree(branch.params, trial.params)]
        if not self._left or any(_agree(branch.params, drawn) for branch in self._left):
            return drawn
        other = self._left[int(self._rng.integers(len(self._left)))].params
        return {name: other.get(name, value) for name, value in drawn.items()}


def _unused(branches: Sequence[PointGroup], study: optuna.Study, trial: FrozenTrial) -> list[PointGroup]:
    """Return the branches with points that no other trial has, run or enqueued."""
    closed = [branch.params for branch in branches if not branch.open]
    names = list(dict.fromkeys(name for params in closed for name in params))
    others = (other for other in study._get_trials(deepcopy=False, use_cache=True) if other.number != trial.number)
    points = (other.params or FIXED_PARAMS.get(other) or {} for other in others)
    # A tuple, and of these names only: of a large study every trial passes here.
    used = {tuple(map(point.get, names)) for point in points}
    return [branch for branch in branches if branch.open or tuple(map(branch.params.get, names)) not in used]


def _agree(some: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    return all(some[name] == value for name, value in others.items() if name in some)
