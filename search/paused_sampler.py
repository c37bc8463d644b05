"""A sampler that learns from paused trials, and from pruned ones where there are several objectives to rank them by."""

import copy
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from .front import best_first


class PausedSampler(BaseSampler):
    """``sampler``, shown every WAITING trial with a curve as PRUNED where that curve ends.

    Without it the TPE sampler would know a rung study's finished trials only: few, and late. Of several objectives it
    is also told which of those trials were better, for which it has no rule of its own: ``reached`` gives what a trial
    with a curve came to in each, larger is better. For one trial: what the sampler sees of the others is read once.
    """

    def __init__(self, sampler: BaseSampler, reached: Callable[[FrozenTrial], Sequence[float]] | None = None) -> None:
        self._sampler = sampler
        self._reached = reached
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
            self._view = _View(study) if self._reached is None else _RankedView(study, self._reached)
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


class _RankedView(_View):
    """A study of several objectives whose stopped trials have their place among those of their length for a curve."""

    def __init__(self, study: optuna.Study, reached: Callable[[FrozenTrial], Sequence[float]]) -> None:
        super().__init__(study)
        stopped: dict[int, list[int]] = {}
        for index, trial in enumerate(self._seen):
            if trial.state == TrialState.PRUNED and trial.intermediate_values:
                stopped.setdefault(max(trial.intermediate_values), []).append(index)
        for step, indices in stopped.items():
            order = best_first(np.array([reached(self._seen[i]) for i in indices]))
            for place, chosen in enumerate(order):
                ranked = copy.copy(self._seen[indices[chosen]])
                ranked.intermediate_values = {step: float(place)}
                self._seen[indices[chosen]] = ranked

    @property
    def direction(self) -> optuna.study.StudyDirection:
        """Of places: the first is the best. The sampler asks for it to compare PRUNED trials, and for nothing else."""
        return optuna.study.StudyDirection.MINIMIZE


def _as_seen(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.WAITING or not trial.intermediate_values:
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.PRUNED
    return seen
