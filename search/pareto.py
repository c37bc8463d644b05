"""The trials of a study that nothing beats: those that keep to its constraints and that no other dominates."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from .front import first_front
from .lease import StudyHandle
from .specs import StudySpec
from .standings import COSTS


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial keeps to every constraint of its study, as far as its costs are known."""
    return all(excess <= 0 for excess in trial.constraints.values())


def finished(handle: StudyHandle) -> list[FrozenTrial]:
    """The COMPLETE trials that keep to the constraints: all that may be called best."""
    done = handle.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in done if is_feasible(trial)]


def signed_values(trials: Iterable[FrozenTrial], spec: StudySpec) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``(N, M)``: the M objectives of N finished trials, larger is better in each."""
    rows = [[sign * value for sign, value in zip(spec.signs, trial.values, strict=True)] for trial in trials]
    return np.array(rows, dtype=float).reshape(-1, len(spec.signs))


def best_of(trials: Sequence[FrozenTrial], spec: StudySpec) -> FrozenTrial | None:
    """The finished trial that is best in the main objective: of equals by the next ones, then the earlier; or None.

    Of several objectives it is one that no other dominates.
    """
    values_NM = signed_values(trials, spec).tolist()
    order = sorted(zip(values_NM, trials, strict=True), key=lambda pair: ([-v for v in pair[0]], pair[1].number))
    return order[0][1] if order else None


def pareto_trials(handle: StudyHandle) -> list[FrozenTrial]:
    """The finished trials that keep to the constraints and that none of their like dominates, the best first.

    First is what is best in the main objective, as ``best_of``; equal trials are all there.
    """
    trials = finished(handle)
    return [trials[index] for index in first_front(signed_values(trials, handle.spec))]


def pareto_rows(handle: StudyHandle) -> list[dict[str, Any]]:
    """The Pareto trials as rows: number, objectives by name, what else constrains them, params."""
    spec = handle.spec
    rows = []
    for trial in pareto_trials(handle):
        values = dict(zip(spec.objectives, trial.values, strict=True))
        costs = trial.user_attrs.get(COSTS, {})
        rows.append({"number": trial.number, **costs, **values, "params": trial.params})
    names = ["number", *spec.objectives, *spec.costs, "params"]
    return [{name: row.get(name) for name in dict.fromkeys(names)} for row in rows]


def latency_error(trials: Iterable[FrozenTrial]) -> dict[str, float] | None:
    """How far the predicted latency was off what the networks of finished trials took at their end, on average.

    ``trials`` counts those that have both, ``ms`` and ``percent`` are mean absolute errors; None if none has both.
    """
    pairs = [
        (t.user_attrs.get(COSTS, {}).get("latency"), t.user_attrs.get("metrics", {}).get("latency")) for t in trials
    ]
    known = np.array([pair for pair in pairs if None not in pair], dtype=float)
    if not len(known):
        return None
    off = np.abs(known[:, 0] - known[:, 1])
    return {"trials": len(known), "ms": float(off.mean()), "percent": float(100 * (off / known[:, 1]).mean())}
