"""In which order a sampler would have come to the trials of a study: of what it draws, the nearest recorded point."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from ..errors import UsageError
from ..search.spec import StudySpec


def sampled_order(trials: Sequence[FrozenTrial], spec: StudySpec) -> list[int]:
    """The places of ``trials`` in the order in which the sampler of ``spec`` would take them; the first stays first.

    The sampler draws a point of the study's space, knowing the values of the trials before; the recorded trial that
    lies nearest and was not taken yet is the next. A pruner is not reckoned with: of each trial it learns the end.
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
            pass  # values that make no config together: what was drawn of them says where to look
        study.tell(asked, state=TrialState.FAIL)  # nobody trained it; samplers leave such trials out
        chosen = min(left, key=lambda place: _distance(asked, trials[place]))
        left.remove(chosen)
        order.append(chosen)
        study.add_trial(trials[chosen])
    return order


def _distance(asked: optuna.Trial, known: FrozenTrial) -> float:
    """How many params differ: a choice in whole, a number by its share of the range, one that only one has in whole."""
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
