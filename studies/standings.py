"""Where the trials of a study stand at its rungs, read from the database.

Of several objectives Optuna keeps no curves. The main one's is written past its refusal, into the table that its
dashboard shows; those of further metrics lie in one attribute of the trial, and costs are the same at every epoch.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy
from optuna.trial import FrozenTrial
from sqlalchemy import Connection

from .rungs import Standing

if TYPE_CHECKING:
    from .handle import StudyHandle
    from .specs import StudySpec

PASSED = "venation:rungs"  # of how many rungs a trial has gone past
CURVES = "venation:curves"  # further metrics of a trial by name, then by step
COSTS = "costs"  # user attribute: what a trial's network costs, by name

_ONE = sqlalchemy.text(
    "SELECT trial_id, number, passed, step, best FROM ("
    " SELECT t.trial_id, t.number, a.value_json AS passed, v.step,"
    "  max(:sign * v.intermediate_value) OVER (PARTITION BY t.trial_id ORDER BY v.step) AS best"
    " FROM trials t JOIN trial_intermediate_values v ON v.trial_id = t.trial_id"
    " LEFT JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = :key"
    " WHERE t.study_id = :study AND t.state <> 'FAIL'"
    ") curves WHERE step = ANY(:steps) ORDER BY trial_id, step"
)
_SEVERAL = sqlalchemy.text(
    "SELECT t.trial_id, t.number, a.value_json AS passed, c.value_json AS curves, k.value_json AS costs, v.main"
    " FROM trials t JOIN ("
    "  SELECT trial_id, json_object_agg(step, intermediate_value)::text AS main"
    "  FROM trial_intermediate_values WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)"
    "  GROUP BY trial_id HAVING max(step) >= :first"
    " ) v ON v.trial_id = t.trial_id"
    " LEFT JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = :key"
    " LEFT JOIN trial_system_attributes c ON c.trial_id = t.trial_id AND c.key = :curves"
    " LEFT JOIN trial_user_attributes k ON k.trial_id = t.trial_id AND k.key = :costs"
    " WHERE t.study_id = :study AND t.state <> 'FAIL' ORDER BY t.trial_id"
)

_LAST = sqlalchemy.text(
    "SELECT v.trial_id, v.step, CASE v.intermediate_value_type WHEN 'INF_POS' THEN 'Infinity'"
    "  WHEN 'INF_NEG' THEN '-Infinity' WHEN 'NAN' THEN 'NaN' ELSE v.intermediate_value END AS main,"
    " c.value_json AS curves, k.value_json AS costs"
    " FROM (SELECT DISTINCT ON (trial_id) * FROM trial_intermediate_values WHERE trial_id = ANY(:trials)"
    "  ORDER BY trial_id, step DESC) v"
    " LEFT JOIN trial_system_attributes c ON c.trial_id = v.trial_id AND c.key = :curves"
    " LEFT JOIN trial_user_attributes k ON k.trial_id = v.trial_id AND k.key = :costs"
)


def read_standings(handle: "StudyHandle", connection: Connection) -> dict[int, Standing]:
    """By id, every trial that has reached a rung and has not failed; read by the connection of the study's lock."""
    read = _of_one if len(handle.spec.objectives) == 1 else _of_several
    return read(handle, connection)


def trial_curve(trial: FrozenTrial, spec: "StudySpec") -> list[tuple[float, ...]]:
    """The objectives of a trial after each reported step, in the study's order; a cost is the same in all.

    Of a metric that was not reported at a step, as a booster's rounds do with all but the log-loss, NaN.
    """
    curves, costs = trial.system_attrs.get(CURVES, {}), trial.user_attrs.get(COSTS, {})
    return _vectors(spec.objectives, trial.intermediate_values, curves, costs)


def last_values(connection: Connection, trial_ids: Collection[int], spec: "StudySpec") -> dict[int, tuple[float, ...]]:
    """The objectives of these trials, by id, after the last step that each has reported."""
    given = {"trials": list(trial_ids), "curves": CURVES, "costs": COSTS}
    last = {}
    for row in connection.execute(_LAST, given):
        curves, costs = json.loads(row.curves or "{}"), json.loads(row.costs or "{}")
        (last[row.trial_id],) = _vectors(spec.objectives, {row.step: row.main}, curves, costs)
    return last


def kept_after(curve: Sequence[tuple[float, ...]], steps: int, signs: Sequence[int]) -> tuple[float, ...]:
    """The objectives after so many steps of the weights that a trial would keep: those best in the main objective."""
    return max(curve[:steps], key=lambda values: signs[0] * values[0])


def reached(trial: FrozenTrial, spec: "StudySpec") -> tuple[float, ...]:
    """What the weights that a trial with a curve would keep came to in each objective, larger is better."""
    curve = trial_curve(trial, spec)
    return _signed(kept_after(curve, len(curve), spec.signs), spec.signs)


def _of_one(handle: "StudyHandle", connection: Connection) -> dict[int, Standing]:
    steps = [epochs - 1 for epochs in handle.spec.rungs]
    given = {"study": handle.id, "steps": steps, "sign": handle.spec.signs[0], "key": PASSED}
    rows = connection.execute(_ONE, given).all()
    scores: dict[int, list[float]] = {}
    for row in rows:
        scores.setdefault(row.trial_id, []).append(row.best)
    return {row.trial_id: Standing(row.number, tuple(scores[row.trial_id]), int(row.passed or 0)) for row in rows}


def _of_several(handle: "StudyHandle", connection: Connection) -> dict[int, Standing]:
    spec = handle.spec
    names = {"key": PASSED, "curves": CURVES, "costs": COSTS}
    given = {"study": handle.id, "first": spec.rungs[0] - 1, **names}
    rows = connection.execute(_SEVERAL, given).all()
    standings = {}
    for row in rows:
        main = {int(step): value for step, value in json.loads(row.main).items()}
        vectors = _vectors(spec.objectives, main, json.loads(row.curves or "{}"), json.loads(row.costs or "{}"))
        kept = [kept_after(vectors, rung, spec.signs) for rung in spec.rungs if rung <= len(vectors)]
        scores = tuple(_signed(values, spec.signs) for values in kept)
        standings[row.trial_id] = Standing(row.number, scores, int(row.passed or 0))
    return standings


def _signed(values: Sequence[float], signs: Sequence[int]) -> tuple[float, ...]:
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))


def _vectors(
    names: Sequence[str],
    main: Mapping[int, float],
    curves: Mapping[str, Mapping[str, float]],
    costs: Mapping[str, Any],
) -> list[tuple[float, ...]]:
    others = names[1:]
    return [
        (main[step], *(costs.get(name, curves.get(name, {}).get(str(step), float("nan"))) for name in others))
        for step in sorted(main)
    ]
