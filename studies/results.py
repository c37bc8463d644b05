"""The results of a study: its best trial, its Pareto trials, its latency error."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, text

from ..search.handle import StudyHandle
from ..search.pareto_front import first_front
from ..search.spec import StudySpec
from ..search.ties import tie_value, ties_first
from ..storage.attributes import CONSTRAINT, COSTS, METRICS

# The trials that share the best values, with the metrics that decide between them.
_BEST = text(
    f"SELECT best.trial_id, best.number, {METRICS.sql('best.trial_id', 'metrics')} AS metrics FROM ("
    "SELECT t.trial_id, t.number FROM trials t JOIN trial_values v ON v.trial_id = t.trial_id"
    " JOIN unnest(CAST(:signs AS integer[])) WITH ORDINALITY AS s(sign, place) ON s.place = v.objective + 1"
    " WHERE t.study_id = :study AND t.state = 'COMPLETE' AND NOT EXISTS ("
    "  SELECT FROM trial_system_attributes a WHERE a.trial_id = t.trial_id AND starts_with(a.key, :constraint)"
    "  AND CAST(a.value_json AS double precision) > 0)"
    " GROUP BY t.trial_id, t.number ORDER BY array_agg(s.sign * CASE v.value_type"
    "  WHEN 'INF_POS' THEN CAST('Infinity' AS double precision)"
    "  WHEN 'INF_NEG' THEN CAST('-Infinity' AS double precision) ELSE v.value END ORDER BY v.objective) DESC"
    " FETCH FIRST 1 ROW WITH TIES"
    ") best"
)


def is_feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial meets every constraint of its study whose cost is known."""
    return all(excess <= 0 for excess in trial.constraints.values())


def finished(handle: StudyHandle) -> list[FrozenTrial]:
    """Return the COMPLETE trials that meet the constraints.

    They are sorted for a stable sort by value: of equal trials the better one comes first.
    """
    done = handle.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return ties_first((trial for trial in done if is_feasible(trial)), handle.spec.tie_break)


def signed_values(trials: Iterable[FrozenTrial], spec: StudySpec) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return ``(N, M)``: the M objectives of N finished trials; larger is better in each."""
    rows = [[sign * value for sign, value in zip(spec.signs, trial.values, strict=True)] for trial in trials]
    return np.array(rows, dtype=float).reshape(-1, len(spec.signs))


def best_trial_id(connection: Connection, study_id: int, spec: StudySpec) -> int | None:
    """Return the id of the best finished trial that meets the constraints; None if there is none.

    Best in the main objective; of equals in the next objectives, then in the metric that decides
    ties, then the earlier trial: no other trial dominates it. The database searches for it, because
    reading twenty thousand trials takes 20 s.
    """
    given = {"study": study_id, "signs": list(spec.signs), "constraint": CONSTRAINT.key, "metrics": METRICS.key}

    def order(row: Any) -> tuple[float, int]:
        return tie_value(json.loads(row.metrics or "{}"), spec.tie_break), row.number

    rows = connection.execute(_BEST, given).all()
    return int(min(rows, key=order).trial_id) if rows else None


def pareto_trials(handle: StudyHandle) -> list[FrozenTrial]:
    """Return the finished trials that no other dominates, the best first.

    They meet the constraints. The first is that of ``best_trial_id``. Equal trials are all
    included.
    """
    trials = finished(handle)
    return [trials[index] for index in first_front(signed_values(trials, handle.spec))]


def pareto_rows(handle: StudyHandle) -> list[dict[str, Any]]:
    """Return the Pareto trials as rows: number, objectives by name, other costs, params."""
    spec = handle.spec
    rows = []
    for trial in pareto_trials(handle):
        values = dict(zip(spec.objectives, trial.values, strict=True))
        costs = COSTS.get(trial) or {}
        rows.append({"number": trial.number, **costs, **values, "params": trial.params})
    names = ["number", *spec.objectives, *spec.costs, "params"]
    return [{name: row.get(name) for name in dict.fromkeys(names)} for row in rows]


def latency_error(trials: Iterable[FrozenTrial]) -> dict[str, float] | None:
    """Return the mean error of the predicted latency against the measured one.

    Trials are measured at their end. ``trials`` counts those that have both, ``ms`` and ``percent``
    are mean absolute errors; None if no trial has both.
    """
    pairs = [((COSTS.get(t) or {}).get("latency"), (METRICS.get(t) or {}).get("latency")) for t in trials]
    known = np.array([pair for pair in pairs if None not in pair], dtype=float)
    if not len(known):
        return None
    off = np.abs(known[:, 0] - known[:, 1])
    return {"trials": len(known), "ms": float(off.mean()), "percent": float(100 * (off / known[:, 1]).mean())}
