"""The scores of a study's trials at its rungs, read from the database.

Optuna keeps no curves for several objectives. The main objective's curve is written directly into
the table of intermediate values, which the dashboard shows. The curves of further metrics are one
attribute of the trial, also that of the metric that decides ties. Costs are the same at every
epoch.
"""

import json
from collections.abc import Collection
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy
from sqlalchemy import Connection

from ..search.asha import RungScores, best_after, objective_vectors, signed
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..search.ties import tie_value
from ..storage.attributes import COSTS, CURVES, RUNGS_PASSED

# The larger array counts: the best value so far, and of equal values the lower tie-break.
_ONE = sqlalchemy.text(
    "SELECT trial_id, number, passed, ended, best FROM ("
    " SELECT t.trial_id, t.number, a.value_json AS passed, v.step,"
    "  t.state = 'COMPLETE' AS ended, max(v.step) OVER (PARTITION BY t.trial_id) AS last, max(ARRAY["
    "   coalesce(:sign * v.intermediate_value, '-Infinity'),"
    "   coalesce(-CAST(CAST(c.value_json AS json) -> :tie ->> CAST(v.step AS text) AS double precision), '-Infinity')"
    "  ]) OVER (PARTITION BY t.trial_id ORDER BY v.step) AS best"
    " FROM trials t JOIN trial_intermediate_values v ON v.trial_id = t.trial_id"
    " LEFT JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = :key"
    " LEFT JOIN trial_system_attributes c ON c.trial_id = t.trial_id AND c.key = :curves"
    " WHERE t.study_id = :study AND t.state <> 'FAIL'"
    ") curves WHERE step = ANY(:steps) OR (ended AND step = last) ORDER BY trial_id, step"
)
_SEVERAL = sqlalchemy.text(
    "SELECT t.trial_id, t.number, a.value_json AS passed, c.value_json AS curves, v.main,"
    f" {COSTS.sql('t.trial_id', 'costs')} AS costs,"
    "  t.state = 'COMPLETE' AS ended"
    " FROM trials t JOIN ("
    "  SELECT trial_id, json_object_agg(step, intermediate_value)::text AS main, max(step) AS last"
    "  FROM trial_intermediate_values WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = :study)"
    "  GROUP BY trial_id"
    " ) v ON v.trial_id = t.trial_id"
    " LEFT JOIN trial_system_attributes a ON a.trial_id = t.trial_id AND a.key = :key"
    " LEFT JOIN trial_system_attributes c ON c.trial_id = t.trial_id AND c.key = :curves"
    " WHERE t.study_id = :study AND t.state <> 'FAIL' AND (v.last >= :first OR t.state = 'COMPLETE')"
    " ORDER BY t.trial_id"
)

_LAST = sqlalchemy.text(
    "SELECT v.trial_id, v.step, CASE v.intermediate_value_type WHEN 'INF_POS' THEN 'Infinity'"
    "  WHEN 'INF_NEG' THEN '-Infinity' WHEN 'NAN' THEN 'NaN' ELSE v.intermediate_value END AS main,"
    f" c.value_json AS curves, {COSTS.sql('v.trial_id', 'costs')} AS costs"
    " FROM (SELECT DISTINCT ON (trial_id) * FROM trial_intermediate_values WHERE trial_id = ANY(:trials)"
    "  ORDER BY trial_id, step DESC) v"
    " LEFT JOIN trial_system_attributes c ON c.trial_id = v.trial_id AND c.key = :curves"
)


def read_standings(handle: StudyHandle, connection: Connection) -> dict[int, RungScores]:
    """Return the standings of all trials that reached a rung and did not fail, by id.

    A complete trial, which may have ended before a rung (``train.patience``), counts at all of them
    with the best value of its whole curve.
    """
    read = _of_one if len(handle.spec.objectives) == 1 else _of_several
    return read(handle, connection)


def last_values(connection: Connection, trial_ids: Collection[int], spec: StudySpec) -> dict[int, tuple[float, ...]]:
    """Return the objectives of each trial after its last reported step, by id."""
    given = {"trials": list(trial_ids), "curves": CURVES.key, "costs": COSTS.key}
    last = {}
    for row in connection.execute(_LAST, given):
        curves, costs = json.loads(row.curves or "{}"), json.loads(row.costs or "{}")
        (last[row.trial_id],) = objective_vectors(spec.objectives, {row.step: row.main}, curves, costs)
    return last


def _of_one(handle: StudyHandle, connection: Connection) -> dict[int, RungScores]:
    spec = handle.spec
    steps, names = [epochs - 1 for epochs in spec.rungs], {"key": RUNGS_PASSED.key, "curves": CURVES.key}
    given = {"study": handle.id, "steps": steps, "sign": spec.signs[0], "tie": spec.tie_break, **names}
    standings = {}
    for trial_id, found in groupby(connection.execute(_ONE, given), key=attrgetter("trial_id")):
        rows = list(found)
        if rows[0].ended:
            # Its last step may follow the last rung.
            rows = [*rows, *[rows[-1]] * len(steps)][: len(steps)]
        scores, ties = tuple(row.best[0] for row in rows), tuple(-row.best[1] for row in rows)
        standings[trial_id] = RungScores(rows[0].number, scores, int(rows[0].passed or 0), ties)
    return standings


def _of_several(handle: StudyHandle, connection: Connection) -> dict[int, RungScores]:
    spec = handle.spec
    names = {"key": RUNGS_PASSED.key, "curves": CURVES.key, "costs": COSTS.key}
    given = {"study": handle.id, "first": spec.rungs[0] - 1, **names}
    return {row.trial_id: _standing(row, spec) for row in connection.execute(_SEVERAL, given)}


def _standing(row: Any, spec: StudySpec) -> RungScores:
    main = {int(step): value for step, value in json.loads(row.main).items()}
    curves, costs = json.loads(row.curves or "{}"), json.loads(row.costs or "{}")
    ties = curves.get(spec.tie_break, {})
    vectors = [
        (*values, tie_value(ties, str(step)))
        for step, values in zip(sorted(main), objective_vectors(spec.objectives, main, curves, costs), strict=True)
    ]
    kept = [best_after(vectors, rung, spec.signs) for rung in spec.rungs if row.ended or rung <= len(vectors)]
    scores = tuple(signed(values[:-1], spec.signs) for values in kept)
    return RungScores(row.number, scores, int(row.passed or 0), tuple(values[-1] for values in kept))
