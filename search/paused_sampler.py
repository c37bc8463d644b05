"""A sampler that learns from paused trials, which Optuna's samplers take for trials that have not begun."""

import copy
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState


class PausedSampler(BaseSampler):
    """``sampler``, shown every WAITING trial with a curve as PRUNED where that curve ends.

    Without it the TPE sampler would know a rung study's finished trials only: few, and late. For one trial: what it
    sees of the others is read once.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler
        self._view: _View | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler says."""
        return self._sampler.infer_relative_search_space(self._seen(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler says."""
        return self._sampler.sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler says."""
        return self._sampler.sample_independent(self._seen(study), trial, param_name, param_distribution)

    def _seen(self, study: optuna.Study) -> "_View":
        if self._view is None:
            self._view = _View(study)
        return self._view


class _View(optuna.Study):
    """A study in which paused trials are PRUNED ones."""

    def __init__(self, study: optuna.Study) -> None:
        vars(self).update(vars(study))
        self._seen = [_as_seen(trial) for trial in study.get_trials(deepcopy=False)]

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._seen if states is None or trial.state in states]


def _as_seen(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.WAITING or not trial.intermediate_values:
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.PRUNED
    return seen
