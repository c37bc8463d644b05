"""Trials as the JSON that optuna-dashboard's page reads, written from a few SQL statements.

Optuna reads a trial as objects, and the dashboard serialises each param again: many seconds for
2,000 trials. Here the server joins the rows, and equal params are written once.
"""

import json
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, json_to_distribution
from sqlalchemy import Connection, text

from ..storage.attributes import CONSTRAINT, FIXED_PARAMS, METRIC, METRICS, RECORDS, TRIAL_FILE

_PICKED = "t.study_id = :study AND (t.number >= :after OR t.trial_id = ANY(:also))"
# Of earlier versions: records among the user attributes, and all metrics in one of them.
_USER_ATTRS = (
    "SELECT key, value_json FROM trial_user_attributes a WHERE a.trial_id = t.trial_id AND key <> ALL(:hidden)"
    " UNION ALL SELECT :metric || m.key, CAST(m.value AS text) FROM trial_user_attributes a, json_each("
    "  CASE WHEN a.value_json ~ 'NaN|Infinity' THEN CAST('{}' AS json) ELSE CAST(a.value_json AS json) END) m"
    " WHERE a.trial_id = t.trial_id AND a.key = :metrics AND json_typeof(m.value) = 'number'"
)
_TRIALS = text(
    "SELECT t.trial_id, t.number, initcap(CAST(t.state AS text)) AS state,"
    " CAST(to_json(t.datetime_start) AS text) AS started, CAST(to_json(t.datetime_complete) AS text) AS ended,"
    " (SELECT string_agg(CASE value_type WHEN 'FINITE' THEN CAST(value AS text)"
    "   WHEN 'INF_POS' THEN '\"inf\"' ELSE '\"-inf\"' END, ',' ORDER BY objective)"
    "  FROM trial_values v WHERE v.trial_id = t.trial_id) AS values,"
    " (SELECT string_agg('{\"step\":' || step || ',\"value\":' || CASE intermediate_value_type"
    "   WHEN 'FINITE' THEN CAST(intermediate_value AS text) WHEN 'NAN' THEN '\"nan\"'"
    "   WHEN 'INF_POS' THEN '\"inf\"' ELSE '\"-inf\"' END || '}', ',' ORDER BY step)"
    "  FROM trial_intermediate_values i WHERE i.trial_id = t.trial_id) AS curve,"
    # A string is JSON already; of other values the page shows the beginning as text.
    " (SELECT string_agg('{\"key\":' || CAST(to_json(key) AS text) || ',\"value\":' || CASE"
    "   WHEN starts_with(value_json, '\"') THEN value_json"
    "   ELSE CAST(to_json(left(value_json, 1024)) AS text) END || '}', ',')"
    f"  FROM ({_USER_ATTRS}) shown) AS attrs,"
    " (SELECT string_agg(CAST(value_json AS json) #>> '{}', ',' ORDER BY trial_system_attribute_id)"
    "  FROM trial_system_attributes a WHERE a.trial_id = t.trial_id AND starts_with(key, :file)"
    "  AND value_json <> '\"null\"') AS files,"
    " (SELECT string_agg(value_json, ',' ORDER BY key) FROM trial_system_attributes a"
    "  WHERE a.trial_id = t.trial_id AND starts_with(key, :constraint)) AS excess,"
    " (SELECT value_json FROM trial_system_attributes a WHERE a.trial_id = t.trial_id AND key = :fixed) AS fixed"
    f" FROM trials t WHERE {_PICKED} ORDER BY t.number"
)
# Most params have one distribution, which is long: it is sent once, with the space.
_PARAMS = text(
    "SELECT p.trial_id, p.param_name, p.param_value,"
    " CASE WHEN p.param_name = ANY(:changed) THEN p.distribution_json END AS distribution"
    f" FROM trial_params p JOIN trials t USING (trial_id) WHERE {_PICKED} ORDER BY p.param_id"
)
_SPACE = text(
    "SELECT p.param_name, p.distribution_json, count(*) FILTER (WHERE t.state <> 'FAIL') AS trials"
    " FROM trial_params p JOIN trials t USING (trial_id) WHERE t.study_id = :study GROUP BY 1, 2 ORDER BY 1"
)

# The stored distributions of each param, and how many trials that did not fail have each.
Space = dict[str, dict[str, int]]


def read_space(connection: Connection, study_id: int) -> Space:
    """Return the params of a study by name."""
    space: Space = {}
    for name, stored, trials in connection.execute(_SPACE, {"study": study_id}):
        space.setdefault(name, {})[stored] = trials
    return space


class TrialWriter:
    """A writer of trials as JSON texts that remembers how it wrote distributions and params."""

    def __init__(self) -> None:
        self._distributions: dict[str, tuple[BaseDistribution, str]] = {}
        self._params: dict[tuple[str, str, float], str] = {}

    def write(
        self, connection: Connection, study_id: int, space: Space, *, after: int = 0, also: Collection[int] = ()
    ) -> dict[int, "WrittenTrial"]:
        """Return the trials of the study from number ``after`` on, and ``also`` by id, by id."""
        picked = {"study": study_id, "after": after, "also": list(also)}
        params: defaultdict[int, list[str]] = defaultdict(list)
        only = {name: next(iter(stored)) for name, stored in space.items() if len(stored) == 1}
        changed = {"changed": [name for name in space if name not in only]}
        for trial_id, name, value, distribution in connection.execute(_PARAMS, picked | changed):
            params[trial_id].append(self._param(name, distribution or only[name], value))
        keys = {"file": TRIAL_FILE.key, "constraint": CONSTRAINT.key, "fixed": FIXED_PARAMS.key}
        keys |= {"metric": METRIC.key, "metrics": METRICS.key}
        hidden = {"hidden": [record.key for record in RECORDS]}
        rows = connection.execute(_TRIALS, picked | keys | hidden)
        return {row.trial_id: WrittenTrial(study_id, row, params[row.trial_id]) for row in rows}

    def distribution(self, stored: str) -> tuple[BaseDistribution, str]:
        """Return a stored distribution and its JSON for the page."""
        if stored not in self._distributions:
            found = json_to_distribution(stored)
            self._distributions[stored] = (found, json.dumps(describe_distribution(found)))
        return self._distributions[stored]

    def _param(self, name: str, stored: str, value: float) -> str:
        distribution, described = self.distribution(stored)
        key = (name, stored, value)
        known = self._params.get(key)
        if known is not None:
            return known
        given = distribution.to_external_repr(value)
        written = (
            f'{{"name":{json.dumps(name)},"param_internal_value":{json.dumps(value)},"param_external_value":'
            f'{json.dumps(str(given))},"param_external_pytyp":"{type(given)}","distribution":{described}}}'
        )
        if not isinstance(distribution, FloatDistribution):  # of which few are equal
            self._params[key] = written
        return written


class WrittenTrial:
    """One trial as JSON, the records of its files, and whether it has reported a curve."""

    def __init__(self, study_id: int, row: Any, params: list[str]) -> None:
        self.trial_id: int = row.trial_id
        self.number: int = row.number
        self.state: str = row.state
        # Two values that are numbers are a curve to look at.
        self.has_curve = (row.curve or "").count('"value":') - (row.curve or "").count('"value":"') > 1
        self.files: list[dict[str, Any]] = json.loads(f"[{row.files}]") if row.files else []
        fixed = json.loads(row.fixed or "{}")
        named = [{"name": name, "param_external_value": str(value)} for name, value in fixed.items()]
        # The page's field for fixed params happens to have the name of Optuna's key.
        parts = [
            f'"trial_id":{row.trial_id},"study_id":{study_id},"number":{row.number},"state":"{row.state}"',
            f'"params":[{",".join(params)}],"{FIXED_PARAMS.key}":{json.dumps(named)}',
            f'"user_attrs":[{row.attrs or ""}],"artifacts":[{row.files or ""}]',
            f'"constraints":[{row.excess or ""}],"intermediate_values":[{row.curve or ""}]',
        ]
        if row.values is not None:
            parts.append(f'"values":[{row.values}]')
        if row.started is not None:
            parts.append(f'"datetime_start":{row.started}')
        if row.ended is not None:
            parts.append(f'"datetime_complete":{row.ended}')
        self._body = ",".join(parts)

    def json(self, note: dict[str, Any]) -> str:
        """Return the trial with its note (``version`` and ``body``)."""
        return f'{{{self._body},"note":{json.dumps(note)}}}'


def describe_distribution(distribution: BaseDistribution) -> dict[str, Any]:
    """Return a distribution in the form of the page."""
    name = type(distribution).__name__
    if isinstance(distribution, CategoricalDistribution):
        choices = [{"pytype": str(type(choice)), "value": str(choice)} for choice in distribution.choices]
        return {"type": name, "choices": choices}
    return {"type": name} | {field: getattr(distribution, field) for field in ("low", "high", "step", "log")}
