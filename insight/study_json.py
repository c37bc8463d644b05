"""A study as the JSON that optuna-dashboard's page reads: the list of studies, and one with trials.

Its note is written at each request: what is shown is current, and no two workers write it.
"""

import json
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.study._frozen import FrozenStudy
from sqlalchemy import Connection, text

from ..search.handle import StudyHandle
from ..search.pareto_front import first_front
from ..storage.attributes import (
    ALL,
    CONSTRAINT,
    CREATED,
    METRIC,
    METRIC_NAMES,
    METRICS,
    RECORDS,
    SPEC,
    STUDY_FILE,
    SUSPENDED,
)
from ..studies.results import best_trial_id
from .notes import study_note, trial_note, with_user_note
from .trial_json import TrialWriter, describe_distribution, read_space
from .width_map import width_map

_COUNTS = text(
    "SELECT count(*) FILTER (WHERE t.state <> 'FAIL') AS trials,"
    " coalesce(bool_or(t.state <> 'FAIL' AND EXISTS ("
    "  SELECT FROM trial_intermediate_values i WHERE i.trial_id = t.trial_id)), false) AS curves"
    " FROM trials t WHERE t.study_id = :study"
)
_ATTRIBUTES = text(
    "SELECT a.key, bool_and(a.value_json ~ '^-?[0-9]') AS sortable FROM trial_user_attributes a"
    " JOIN trials t USING (trial_id) WHERE t.study_id = :study GROUP BY 1 ORDER BY 1"
)
_OLD_METRICS = text(
    "SELECT DISTINCT :metric || m.key AS key FROM trial_user_attributes a JOIN trials t USING (trial_id), json_each("
    " CASE WHEN a.value_json ~ 'NaN|Infinity' THEN CAST('{}' AS json) ELSE CAST(a.value_json AS json) END) m"
    " WHERE t.study_id = :study AND a.key = :metrics AND json_typeof(m.value) = 'number'"
)
_VALUES = text(
    "SELECT t.trial_id, array_agg(CASE v.value_type WHEN 'INF_POS' THEN CAST('Infinity' AS double precision)"
    "  WHEN 'INF_NEG' THEN CAST('-Infinity' AS double precision) ELSE v.value END ORDER BY v.objective) AS values"
    " FROM trials t JOIN trial_values v USING (trial_id) WHERE t.study_id = :study AND t.state = 'COMPLETE'"
    " AND NOT EXISTS (SELECT FROM trial_system_attributes a WHERE a.trial_id = t.trial_id"
    "  AND starts_with(a.key, :constraint) AND CAST(a.value_json AS double precision) > 0)"
    " GROUP BY 1 ORDER BY 1"
)
# The study's attributes that people read; the others are in the note or for Venation itself.
_SHOWN = (CREATED, SUSPENDED)
_DECLARED = tuple(attribute.key for attribute in ALL if attribute.table == "study_user" and attribute not in _SHOWN)


def list_json(storage: RDBStorage) -> dict[str, Any]:
    """Return all studies of the database for the page's list."""
    studies = sorted(storage.get_all_studies(), key=lambda study: study._study_id)
    return {
        "study_summaries": [
            {
                "study_id": study._study_id,
                "study_name": study.study_name,
                "directions": [direction.name.lower() for direction in study.directions],
                "user_attrs": _attributes(study),
                "is_preferential": study.system_attrs.get("preference:is_preferential", False),
            }
            for study in studies
        ]
    }


def study_json(handle: StudyHandle, frozen: FrozenStudy, writer: TrialWriter, *, after: int, root: str) -> str:
    """Return a study of Venation with its trials from number ``after`` on.

    ``root`` is the server's path behind a proxy.
    """
    with handle.storage.engine.connect() as connection:
        best, space = _best_ids(connection, handle), read_space(connection, handle.id)
        trials = writer.write(connection, handle.id, space, after=after, also=best)
        counts = connection.execute(_COUNTS, {"study": handle.id}).one()
        detail = {
            "name": frozen.study_name,
            "directions": [direction.name.lower() for direction in frozen.directions],
            "user_attrs": _attributes(frozen),
            "artifacts": [json.loads(v) for k, v in frozen.system_attrs.items() if k.startswith(STUDY_FILE.key)],
            "union_search_space": [_dimension(name, found, writer) for name, found in space.items()],
            "intersection_search_space": [
                _dimension(name, found, writer) for name, found in space.items() if sum(found.values()) == counts.trials
            ],
            "union_user_attrs": _union_attributes(connection, handle.id),
            "has_intermediate_values": counts.curves,
            "note": with_user_note(frozen.system_attrs, None, study_note(handle, connection)),
            "is_preferential": False,
            "feedback_component_type": {"output_type": "note"},
            "objective_names": METRIC_NAMES.get(frozen) or list(handle.spec.objectives),
            "plotly_graph_objects": _plots(handle, connection),
        }
    written = {
        trial_id: trial.json(with_user_note(frozen.system_attrs, trial_id, trial_note(trial, handle, root)))
        for trial_id, trial in trials.items()
    }
    listed = ",".join(written[trial_id] for trial_id, trial in trials.items() if trial.number >= after)
    leading = ",".join(written[trial_id] for trial_id in best if trial_id in written)
    return f'{json.dumps(detail)[:-1]},"trials":[{listed}],"best_trials":[{leading}]}}'


def _attributes(study: FrozenStudy) -> list[dict[str, str]]:
    """Return the study's attributes for people; of another program's study all of them."""
    hidden = _DECLARED if SPEC.get(study) is not None else ()
    kept = {key: value for key, value in study.user_attrs.items() if not key.startswith(hidden or ("\0",))}
    return [
        {"key": key, "value": value if isinstance(value, str) else json.dumps(value)[:1024]}
        for key, value in kept.items()
    ]


def _best_ids(connection: Connection, handle: StudyHandle) -> list[int]:
    """Return the id of the best trial, or those of the Pareto front; constraints are met."""
    spec = handle.spec
    if len(spec.objectives) == 1:
        found = best_trial_id(connection, handle.id, spec)
        return [] if found is None else [found]
    rows = connection.execute(_VALUES, {"study": handle.id, "constraint": CONSTRAINT.key}).all()
    signed = [[sign * value for sign, value in zip(spec.signs, row.values, strict=True)] for row in rows]
    return [rows[index].trial_id for index in first_front(np.array(signed, dtype=float).reshape(-1, len(spec.signs)))]


def _dimension(name: str, stored: dict[str, int], writer: TrialWriter) -> dict[str, Any]:
    """Return a dimension over all its distributions, of which one with another type is left out."""
    found = [writer.distribution(each)[0] for each in stored]
    first = found[0]
    same = [each for each in found if type(each) is type(first)]
    if isinstance(first, CategoricalDistribution):
        choices = dict.fromkeys(choice for each in same for choice in each.choices)  # type: ignore[attr-defined]
        first = CategoricalDistribution(list(choices))
        return {"name": name, "distribution": describe_distribution(first)}
    described = [describe_distribution(each) for each in same]
    low, high = min(each["low"] for each in described), max(each["high"] for each in described)
    return {"name": name, "distribution": described[0] | {"low": low, "high": high}}


def _union_attributes(connection: Connection, study_id: int) -> list[dict[str, Any]]:
    hidden = {record.key for record in RECORDS}
    rows = connection.execute(_ATTRIBUTES, {"study": study_id}).all()
    found = {row.key: bool(row.sortable) for row in rows if row.key not in hidden}
    if any(row.key == METRICS.key for row in rows):
        old = {"study": study_id, "metric": METRIC.key, "metrics": METRICS.key}
        found |= dict.fromkeys(connection.scalars(_OLD_METRICS, old), True)
    return [{"key": key, "sortable": sortable} for key, sortable in sorted(found.items())]


def _plots(handle: StudyHandle, connection: Connection) -> list[dict[str, str]]:
    plot = width_map(handle, connection)
    return [] if plot is None else [{"id": "widths", "graph_object": json.dumps(plot)}]
