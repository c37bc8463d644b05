"""A sampler that sees a study as it should: paused trials count, and of a large study only what still says much."""

import copy
import itertools
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.samplers._tpe.sampler import (
    _get_infeasible_trial_score,
    _split_trials,
    default_gamma,
    default_gamma_multiobjective,
)
from optuna.trial import FrozenTrial, TrialState

from .pareto_front import best_first

# How many results a sampler is shown: as many as TPE's good group, a tenth of them and 25 at most, grows by.
WINDOW = 250
_TOLD = (TrialState.COMPLETE, TrialState.PRUNED)


class WindowedSampler(BaseSampler):
    """``sampler``, shown every WAITING trial with a curve as PRUNED where it ends, and ``window`` results at most.

    Without the first the TPE sampler would know a rung study's finished trials only: few, and late. Of several
    objectives it is also told which of those trials were better, for which it has no rule of its own: ``reached`` gives
    what a trial with a curve came to in each, larger is better. The second keeps the price of a trial level, however
    many came before it: TPE's good group is in the window whole, and of the others, which it weighs the less the older
    they are, the most recent. For one trial: what the sampler sees of the others is read once.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        reached: Callable[[FrozenTrial], Sequence[float]] | None = None,
        *,
        window: int = WINDOW,
    ) -> None:
        self._sampler = sampler
        self._reached = reached
        self._window = window
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
            self._view.narrow(self._window)
        return self._view


class _View(optuna.Study):
    """A study in which paused trials are PRUNED ones."""

    def __init__(self, study: optuna.Study) -> None:
        # Past what Optuna's study of one bracket of Hyperband hides.
        vars(self).update(object.__getattribute__(study, "__dict__"))
        self._seen = [_as_seen(trial) for trial in study._get_trials(deepcopy=False, use_cache=True)]

    def narrow(self, window: int) -> None:
        """Keep so many trials with a result: those that TPE takes for good, and the latest of the others."""
        told = [trial for trial in self._seen if trial.state in _TOLD]
        if len(told) <= window:
            return
        kept = {trial.number for trial in self._good(told, window)}
        others = [trial.number for trial in told[-window:] if trial.number not in kept]
        kept.update(others[len(kept) - window :])
        self._seen = [trial for trial in self._seen if trial.number in kept or trial.state == TrialState.RUNNING]

    def _good(self, told: list[FrozenTrial], window: int) -> list[FrozenTrial]:
        """What TPE would take for the good group, had it ``window`` trials to split, of all trials."""
        if len(self.directions) > 1:
            return _split_trials(self, told, default_gamma_multiobjective(window))[0]
        number = default_gamma(window)
        complete = [trial for trial in told if trial.state == TrialState.COMPLETE]
        upwards = self.direction == optuna.study.StudyDirection.MAXIMIZE
        complete.sort(key=lambda trial: trial.value or 0.0, reverse=upwards)
        feasible = (trial for trial in complete if _get_infeasible_trial_score(trial) == 0)
        good = [*itertools.islice(feasible, number)]
        # Asking all of them whether they are feasible takes longer than all the rest.
        return good if len(good) == number else _split_trials(self, told, number)[0]

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
