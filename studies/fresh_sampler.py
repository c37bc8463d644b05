"""A sampler that draws no point twice while there is another: to train one again says nothing of the space."""

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial


class FreshSampler(BaseSampler):
    """``sampler``, but for points that an earlier trial has, or will have: of such a one another choice is taken.

    One of its categorical params is set to a random other value that makes a new point; where no single one does, the
    point is drawn again. A point with a real number in it is never looked for. For one trial: what the others have is
    read once.
    """

    def __init__(self, sampler: BaseSampler, *, seed: int) -> None:
        self._sampler = sampler
        self._rng = np.random.default_rng(seed)
        # A list: to compare it with one point is a thirtieth of the work of hashing all that are in it.
        self._known: list[dict[str, Any]] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler says."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler says, or another point."""
        drawn = self._sampler.sample_relative(study, trial, search_space)
        return self._fresh(study, trial, drawn, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler says, or another value."""
        drawn = self._sampler.sample_independent(study, trial, param_name, param_distribution)
        return self._fresh(study, trial, {param_name: drawn}, {param_name: param_distribution})[param_name]

    def _fresh(
        self, study: optuna.Study, trial: FrozenTrial, drawn: dict[str, Any], space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        given = trial.distributions | {name: space[name] for name in drawn}
        if not drawn or any(isinstance(each, FloatDistribution) and not each.single() for each in given.values()):
            return drawn
        if self._known is None:
            self._known = _points(study, trial)
        if trial.params | drawn not in self._known:
            return drawn
        others = [
            drawn | {name: choice}
            for name in drawn
            for choice in getattr(space[name], "choices", ())
            if trial.params | drawn | {name: choice} not in self._known
        ]
        return others[int(self._rng.integers(len(others)))] if others else drawn


def _points(study: optuna.Study, trial: FrozenTrial) -> list[dict[str, Any]]:
    """The points of the other trials; of those that are only enqueued what is fixed."""
    others = (other for other in study._get_trials(deepcopy=False, use_cache=True) if other.number != trial.number)
    return [other.params or other.system_attrs.get("fixed_params", {}) for other in others]
