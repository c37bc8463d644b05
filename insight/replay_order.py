"""Order recorded trials as a sampler would choose them, by the nearest recorded point."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from ..errors import UsageError
from ..search.spec import StudySpec


def sampled_order(trials: Sequence[FrozenTrial], spec: StudySpec) -> list[int]:
    """Return the indices of ``trials`` in the order in which the sampler of ``spec`` reaches them.

    The first trial stays first. The sampler then draws a point of the study's space from the values
    of the trials so far, and the nearest remaining trial comes next. Pruning is ignored: the
    sampler gets the final value of each trial.
    """
    study = optuna.create_study(directions=list(spec.directions))
    left, order = list(range(1, len(trials))), [0]
    study.add_trial(trials[0])
    while left:
        study.sampler = spec.build_sampler(len(order))
        asked = study.ask()
        try:
            spec.space.suggest(asked, spec.config)
        except UsageError:
            pass  # an invalid combination of values: the sampled ones still locate the point
        study.tell(asked, state=TrialState.FAIL)  # not trained: samplers ignore failed trials
        chosen = min(left, key=lambda place: _distance(asked, trials[place]))
        left.remove(chosen)
        order.append(chosen)
        study.add_trial(trials[chosen])
    return order


def _distance(asked: optuna.Trial, known: FrozenTrial) -> float:
    """Count differing params: 1 for a choice or an unshared param, else a share of its range."""
    mine, own = asked.params, asked.distributions
    shared = mine.keys() & known.params.keys()
    apart = sum(_apart(own[name], mine[name], known.params[name]) for name in shared)
    return apart + len(mine.keys() ^ known.params.keys())


def _apart(distribution: BaseDistribution, a: Any, b: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return float(a != b)
    limits: Mapping[str, Any] = vars(distribution)
    scale = math.log if limits["log"] else float
    reach = scale(limits["high"]) - scale(limits["low"])
    return abs(scale(a) - scale(b)) / reach if reach else 0.0
