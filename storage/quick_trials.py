"""Optuna's storage with trials read by one SQL statement in place of its objects.

Optuna builds an object for each param, value and attribute: many seconds for thousands of trials.
"""

import json
from collections.abc import Container
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

_TRIALS = text(
    "SELECT t.trial_id, t.number, CAST(t.state AS text) AS state, t.datetime_start, t.datetime_complete,"
    " (SELECT json_agg(json_build_array(param_name, param_value, distribution_json) ORDER BY param_id)"
    "  FROM trial_params p WHERE p.trial_id = t.trial_id) AS params,"
    " (SELECT json_agg(json_build_array(value, value_type) ORDER BY objective)"
    "  FROM trial_values v WHERE v.trial_id = t.trial_id) AS values,"
    " (SELECT json_agg(json_build_array(step, intermediate_value, intermediate_value_type))"
    "  FROM trial_intermediate_values i WHERE i.trial_id = t.trial_id) AS curve,"
    " (SELECT json_object_agg(key, value_json)"
    "  FROM trial_user_attributes u WHERE u.trial_id = t.trial_id) AS user_attrs,"
    " (SELECT json_object_agg(key, value_json)"
    "  FROM trial_system_attributes s WHERE s.trial_id = t.trial_id) AS system_attrs"
    " FROM trials t WHERE t.study_id = :study AND (t.trial_id > :last OR t.trial_id = ANY(:also)) ORDER BY t.trial_id"
)
_EXISTS = text("SELECT 1 FROM studies WHERE study_id = :study")
_SPECIAL = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}


class QuickStorage(RDBStorage):
    """A storage over the engine of another one; both may be used."""

    def __init__(self, storage: RDBStorage) -> None:
        self.__dict__.update(storage.__dict__)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        given = {"study": study_id, "last": trial_id_greater_than, "also": list(included_trial_ids)}
        with self.engine.connect() as connection:
            if connection.scalar(_EXISTS, given) is None:
                raise KeyError("Record does not exist.")
            rows = connection.execute(_TRIALS, given).all()
        return [_trial(row) for row in rows if states is None or TrialState[row.state] in states]


def _trial(row: Any) -> FrozenTrial:
    params, distributions = {}, {}
    for name, value, stored in row.params or ():
        distribution = _distribution(stored)
        params[name], distributions[name] = distribution.to_external_repr(value), distribution
    values = [_number(value, kind) for value, kind in row.values] if row.values else None
    return FrozenTrial(
        number=row.number,
        state=TrialState[row.state],
        value=None,
        values=values,
        datetime_start=row.datetime_start,
        datetime_complete=row.datetime_complete,
        params=params,
        distributions=distributions,
        user_attrs=_attrs(row.user_attrs),
        system_attrs=_attrs(row.system_attrs),
        intermediate_values={step: _number(value, kind) for step, value, kind in row.curve or ()},
        trial_id=row.trial_id,
    )


def _attrs(stored: dict[str, str] | None) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in (stored or {}).items()}


def _number(value: float | None, kind: str) -> float:
    """Return a stored value; a whole number was a float, too."""
    return float(value) if kind == "FINITE" and value is not None else _SPECIAL[kind]


@lru_cache(maxsize=4096)
def _distribution(stored: str) -> BaseDistribution:
    return json_to_distribution(stored)
