"""A sampler wrapper that shows paused trials as pruned, and limits the history of a large study."""

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

from ..trials.kinds import TIE_BREAK
from .pareto_front import best_first
from .ties import tie_key, ties_first

# TPE's good group, a tenth of the results and at most 25, grows up to this number of results.
WINDOW = 250
_WITH_RESULT = (TrialState.COMPLETE, TrialState.PRUNED)


class WindowedSampler(BaseSampler):
    """Wrap ``sampler``; show it paused trials as PRUNED, and at most ``window`` results.

    Without paused trials TPE would know only the finished trials of an ASHA study: few, and late.
    With several objectives TPE cannot rank pruned trials, so they are ranked for it by ``reached``,
    the objectives of a trial with a curve; larger is better.

    Of trials with equal values those that are lower in ``tie_break`` come first. TPE sorts stably,
    so they are the ones that it counts as good; their values are shown as they are.

    The window keeps the cost of a trial constant, however many came before it. It has TPE's good
    group whole, and the most recent of the other trials, which TPE weighs less the older they are.
    An instance serves one trial: it reads the other trials once.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        reached: Callable[[FrozenTrial], Sequence[float]] | None = None,
        *,
        tie_break: str = TIE_BREAK["classify"],
        window: int = WINDOW,
    ) -> None:
        self._sampler = sampler
        self._reached = reached
        self._tie_break = tie_break
        self._window = window
        self._view: _View | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegate to the wrapped sampler, on the narrowed study."""
        return self._sampler.infer_relative_search_space(self._seen(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate to the wrapped sampler, on the narrowed study."""
        return self._sampler.sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Delegate to the wrapped sampler, on the narrowed study."""
        return self._sampler.sample_independent(self._seen(study), trial, param_name, param_distribution)

    def _seen(self, study: optuna.Study) -> "_View":
        if self._view is None:
            given = (study, self._tie_break)
            self._view = _View(*given) if self._reached is None else _RankedView(*given, self._reached)
            self._view.narrow(self._window)
        return self._view


class _View(optuna.Study):
    """A study in which paused trials are PRUNED."""

    def __init__(self, study: optuna.Study, tie_break: str) -> None:
        # Bypass the attributes that Optuna's study of one Hyperband bracket hides.
        vars(self).update(object.__getattribute__(study, "__dict__"))
        self._seen = [_as_pruned(trial) for trial in study._get_trials(deepcopy=False, use_cache=True)]
        self._tie_break = tie_break

    def narrow(self, window: int) -> None:
        """Keep ``window`` trials with a result: TPE's good group, and the latest of the others.

        Of equal trials the better one comes first.
        """
        results = [trial for trial in self._seen if trial.state in _WITH_RESULT]
        if len(results) > window:
            kept = {trial.number for trial in self._good(results, window)}
            others = [trial.number for trial in results[-window:] if trial.number not in kept]
            kept.update(others[len(kept) - window :])
            self._seen = [trial for trial in self._seen if trial.number in kept or trial.state == TrialState.RUNNING]
        self._seen = ties_first(self._seen, self._tie_break)

    def _good(self, results: list[FrozenTrial], window: int) -> list[FrozenTrial]:
        """Return TPE's good group.

        It is that of all trials, in the size that ``window`` trials would have.
        """
        if len(self.directions) > 1:
            return _split_trials(self, results, default_gamma_multiobjective(window))[0]
        number = default_gamma(window)
        complete = [trial for trial in results if trial.state == TrialState.COMPLETE]
        upwards = self.direction == optuna.study.StudyDirection.MAXIMIZE
        complete.sort(key=lambda trial: trial.value or 0.0, reverse=upwards)
        # To check the feasibility of all trials would take longer than the rest of the sampling.
        good = [*itertools.islice(filter(_is_feasible, complete), number)]
        if len(good) < number:
            return _split_trials(self, ties_first(results, self._tie_break), number)[0]
        last = good[-1].value
        equal = ties_first((t for t in complete if t.value == last and _is_feasible(t)), self._tie_break)
        return [*(trial for trial in good if trial.value != last), *equal][:number]

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._seen if states is None or trial.state in states]


class _RankedView(_View):
    """A study of several objectives in which stopped trials have a rank as their value.

    The rank is among the trials of equal length.
    """

    def __init__(self, study: optuna.Study, tie_break: str, reached: Callable[[FrozenTrial], Sequence[float]]) -> None:
        super().__init__(study, tie_break)
        stopped: dict[int, list[int]] = {}
        for index, trial in enumerate(self._seen):
            if trial.state == TrialState.PRUNED and trial.intermediate_values:
                stopped.setdefault(max(trial.intermediate_values), []).append(index)
        for step, indices in stopped.items():
            indices.sort(key=lambda index: tie_key(self._seen[index], tie_break))
            order = best_first(np.array([reached(self._seen[i]) for i in indices]))
            for place, chosen in enumerate(order):
                ranked = copy.copy(self._seen[indices[chosen]])
                ranked.intermediate_values = {step: float(place)}
                self._seen[indices[chosen]] = ranked

    @property
    def direction(self) -> optuna.study.StudyDirection:
        """Minimise: rank 0 is the best. The sampler uses it only for PRUNED trials."""
        return optuna.study.StudyDirection.MINIMIZE


def _is_feasible(trial: FrozenTrial) -> bool:
    return _get_infeasible_trial_score(trial) == 0


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.WAITING or not trial.intermediate_values:
        return trial
    seen = copy.copy(trial)
    seen.state = TrialState.PRUNED
    return seen
