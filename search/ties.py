"""The order of trials with equal objectives: the lower log-loss first, then the earlier trial.

Decoder studies take the lower cross-entropy of the masks, ``bce``. A share of a few images has few
values, so equal trials are common; their probabilities still differ.
"""

import math
from collections.abc import Iterable, Mapping

from optuna.trial import FrozenTrial

from ..storage.attributes import CURVES, METRICS


def tie_value(metrics: Mapping[str, float], name: str) -> float:
    """Return the metric ``name``; infinity, the worst, if it is unknown or NaN."""
    value = metrics.get(name, math.inf)
    return math.inf if math.isnan(value) else value


def ties_first(trials: Iterable[FrozenTrial], name: str) -> list[FrozenTrial]:
    """Sort trials by the metric ``name`` (see ``StudySpec.tie_break``), then by number.

    A later stable sort by objectives, or one that prefers the first of equals, keeps this order
    among equal trials. Of a trial that was stopped, the last report counts.
    """
    return sorted(trials, key=lambda trial: tie_key(trial, name))


def tie_key(trial: FrozenTrial, name: str) -> tuple[float, int]:
    """Return the key by which ``ties_first`` sorts."""
    metrics = METRICS.get(trial)
    if metrics is None and trial.intermediate_values:
        curve = (CURVES.get(trial) or {}).get(name, {})
        metrics = {name: curve.get(str(max(trial.intermediate_values)), math.inf)}
    return tie_value(metrics or {}, name), trial.number
