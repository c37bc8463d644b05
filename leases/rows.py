"""SQL statements on a trial's row in Optuna's tables: claim, heartbeat, write, end.

Claims and ends use the connection that has the study's lock, so that they commit only if the lock
was kept to the end. Each write of a running trial checks the lease token, so that a worker which
lost the trial changes nothing. Times are UTC, as in Optuna, by the server's clock, never a
worker's.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import TrialState
from sqlalchemy import Connection, text

from ..storage import attributes
from ..storage.attributes import Table
from .attribute_rows import set_attr

_NOW = "timezone('utc', clock_timestamp())"
_SECONDS = "extract(epoch from clock_timestamp())"

_STUDY = text("SELECT 1 FROM studies WHERE study_id = :study FOR NO KEY UPDATE")
_WAITING = text(
    "SELECT t.trial_id FROM trials t WHERE t.study_id = :study AND t.state = 'WAITING' AND NOT EXISTS ("
    " SELECT FROM trial_system_attributes a WHERE a.trial_id = t.trial_id AND a.key = :key"
    f" AND CAST(a.value_json AS double precision) > {_SECONDS})"
    " ORDER BY t.trial_id LIMIT 1"
)
_CREATE = text(
    "INSERT INTO trials (number, study_id, state)"
    " SELECT count(*), :study, 'WAITING' FROM trials WHERE study_id = :study RETURNING trial_id"
)
_TAKE = text(
    "WITH taken AS ("
    f" UPDATE trials SET state = 'RUNNING', datetime_start = {_NOW}"
    "  WHERE trial_id = :trial AND state = 'WAITING' RETURNING trial_id, number"
    "), deleted AS ("
    " DELETE FROM trial_system_attributes a USING taken"
    "  WHERE a.trial_id = taken.trial_id AND (starts_with(key, :constraint) OR key = :not_before)"
    "), owned AS ("
    " INSERT INTO trial_system_attributes (trial_id, key, value_json)"
    "  SELECT trial_id, key, value FROM taken, (VALUES (:lease_key, :token), (:holder_key, :holder)) AS new(key, value)"
    "  ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
    "), renewed AS ("
    f" INSERT INTO trial_heartbeats (trial_id, heartbeat) SELECT trial_id, {_NOW} FROM taken"
    f"  ON CONFLICT (trial_id) DO UPDATE SET heartbeat = {_NOW}"
    ") SELECT number FROM taken"
)
_OWNED = (
    "EXISTS (SELECT FROM trials t JOIN trial_system_attributes a ON a.trial_id = t.trial_id"
    " WHERE t.trial_id = :trial AND t.state = 'RUNNING' AND a.key = :key AND a.value_json = :token)"
)
_BEAT = text(f"UPDATE trial_heartbeats SET heartbeat = {_NOW} WHERE trial_id = :trial AND {_OWNED}")
_OWNS = text(f"SELECT {_OWNED}")
_STATE = text("SELECT CAST(state AS text) FROM trials WHERE trial_id = :trial")
_END = text(
    "UPDATE trials SET state = CAST(:state AS trialstate),"
    f" datetime_complete = CASE WHEN :finished THEN {_NOW} END WHERE trial_id = :trial AND {_OWNED}"
)
_VALUE = text(
    "INSERT INTO trial_values (trial_id, objective, value, value_type)"
    " VALUES (:trial, :objective, :value, CAST(:type AS trialvaluetype))"
    " ON CONFLICT (trial_id, objective) DO UPDATE SET value = excluded.value, value_type = excluded.value_type"
)
_PRUNE = text(
    f"UPDATE trials SET state = 'PRUNED', datetime_complete = {_NOW}"
    " WHERE trial_id = ANY(:trials) AND state = 'WAITING' RETURNING trial_id"
)
_PRUNED_VALUES = text(
    "INSERT INTO trial_values (trial_id, objective, value, value_type)"
    " SELECT trial, objective, value, type FROM json_to_recordset(CAST(:given AS json))"
    "  AS given(trial integer, objective integer, value double precision, type trialvaluetype)"
    " ON CONFLICT (trial_id, objective) DO UPDATE SET value = excluded.value, value_type = excluded.value_type"
)
_PRUNED_CAUSES = text(
    "INSERT INTO trial_user_attributes (trial_id, key, value_json)"
    " SELECT trial, :key, cause FROM json_to_recordset(CAST(:given AS json)) AS given(trial integer, cause text)"
    " ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
)
_LAST_REPORT = text(
    "SELECT intermediate_value FROM trial_intermediate_values"
    " WHERE trial_id = :trial AND intermediate_value_type = 'FINITE' ORDER BY step DESC LIMIT 1"
)
_PAST = text(
    "SELECT (SELECT value_json FROM trial_system_attributes WHERE trial_id = :trial AND key = :holder_key) AS holder,"
    f" {attributes.HISTORY.sql(':trial', 'history')} AS past,"
    " (SELECT count(*) FROM trial_intermediate_values WHERE trial_id = :trial) AS reports"
)
_PARAM = text(
    "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)"
    f" SELECT :trial, :name, :value, :distribution WHERE {_OWNED} ON CONFLICT (trial_id, param_name)"
    " DO UPDATE SET param_value = excluded.param_value, distribution_json = excluded.distribution_json"
)
_REPORT = text(
    "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)"
    f" SELECT :trial, :step, :value, CAST(:type AS trialintermediatevaluetype) WHERE {_OWNED}"
    " ON CONFLICT (trial_id, step) DO UPDATE SET intermediate_value = excluded.intermediate_value,"
    " intermediate_value_type = excluded.intermediate_value_type"
)
_PUT_ATTR = (
    "INSERT INTO {table}_attributes (trial_id, key, value_json)"
    f" SELECT :trial, :name, :value WHERE {_OWNED}"
    " ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
)
_CLOCK = text(f"SELECT {_SECONDS}")


def lock_study(connection: Connection, study_id: int) -> bool:
    """Keep Optuna itself from creating trials; return False if the study does not exist."""
    return connection.scalar(_STUDY, {"study": study_id}) is not None


def next_trial(connection: Connection, study_id: int) -> int | None:
    """Return the id of the oldest WAITING trial whose delay is over, or None."""
    found: int | None = connection.scalar(_WAITING, {"study": study_id, "key": attributes.NOT_BEFORE.key})
    return found


def create_trial(connection: Connection, study_id: int) -> int:
    """Create a WAITING trial; return its id. ``lock_study`` makes its number unique."""
    return int(connection.scalar(_CREATE, {"study": study_id}) or 0)


def take(connection: Connection, trial_id: int, *, token: str, holder: Mapping[str, Any]) -> int | None:
    """Move a WAITING trial to RUNNING under ``token``; return its number, None if not WAITING.

    Deletes the constraints of an earlier run, because Optuna does not overwrite them.
    """
    keys = {
        "constraint": attributes.CONSTRAINT.key,
        "not_before": attributes.NOT_BEFORE.key,
        "lease_key": attributes.LEASE.key,
        "holder_key": attributes.HOLDER.key,
    }
    values = {"token": json.dumps(token), "holder": json.dumps(dict(holder))}
    number: int | None = connection.scalar(_TAKE, {"trial": trial_id, **keys, **values})
    return number


def beat(connection: Connection, trial_id: int, token: str) -> bool:
    """Renew the trial's heartbeat; return False if ``token`` is not the owner's."""
    return connection.execute(_BEAT, _owner(trial_id, token)).rowcount == 1


def owns(connection: Connection, trial_id: int, token: str) -> bool:
    """Return whether the trial is RUNNING under ``token``."""
    return bool(connection.scalar(_OWNS, _owner(trial_id, token)))


def state_of(connection: Connection, trial_id: int) -> TrialState | None:
    """Return the trial's state, None if it was deleted."""
    state: str | None = connection.scalar(_STATE, {"trial": trial_id})
    return None if state is None else TrialState[state]


def end(
    connection: Connection, trial_id: int, *, token: str, state: TrialState, values: Sequence[float] | None
) -> bool:
    """Set the trial's final state (or WAITING) and its values.

    Returns False, with nothing written, if ``token`` is not the owner's. Raises ValueError for NaN.
    """
    given = _owner(trial_id, token) | {"state": state.name, "finished": state.is_finished()}
    if connection.execute(_END, given).rowcount == 0:
        return False
    for objective, value in enumerate(values or ()):
        connection.execute(_VALUE, {"trial": trial_id, "objective": objective, **_stored(value)})
    return True


def prune_waiting(connection: Connection, ends: Mapping[int, tuple[str, Sequence[float]]]) -> list[int]:
    """Prune those of these trials that still wait, with cause and values; return their ids.

    Three statements for any number of trials, because the lock must not last a minute. Vectors with
    NaN are not stored.
    """
    pruned = sorted(connection.scalars(_PRUNE, {"trials": list(ends)}))
    causes = [{"trial": trial_id, "cause": json.dumps(ends[trial_id][0])} for trial_id in pruned]
    connection.execute(_PRUNED_CAUSES, {"given": json.dumps(causes), "key": attributes.CAUSE.key})
    values = [
        {"trial": trial_id, "objective": objective, **_stored(value)}
        for trial_id in pruned
        for objective, value in enumerate(ends[trial_id][1])
        if not any(map(math.isnan, ends[trial_id][1]))
    ]
    connection.execute(_PRUNED_VALUES, {"given": json.dumps(values)})
    return pruned


def set_delay(connection: Connection, trial_id: int, seconds: float) -> None:
    """Keep a WAITING trial from being claimed for ``seconds`` from now."""
    now = float(connection.scalar(_CLOCK) or 0)
    set_attr(connection, trial_id, attributes.NOT_BEFORE, round(now + seconds, 3))


def put_param(
    connection: Connection, trial_id: int, token: str, name: str, value: float, distribution: BaseDistribution
) -> bool:
    """Set a param in Optuna's internal form; return False if ``token`` is not the owner's."""
    form = {"name": name, "value": value, "distribution": distribution_to_json(distribution)}
    return connection.execute(_PARAM, _owner(trial_id, token) | form).rowcount == 1


def put_report(connection: Connection, trial_id: int, token: str, step: int, value: float) -> bool:
    """Report the value of a step; return False if ``token`` is not the owner's."""
    stored = {"value": None, "type": "NAN"} if math.isnan(value) else _stored(value)
    return connection.execute(_REPORT, _owner(trial_id, token) | {"step": step, **stored}).rowcount == 1


def put_attr(connection: Connection, trial_id: int, token: str, table: Table, name: str, value: Any) -> bool:
    """Set a user or system attribute; return False if ``token`` is not the owner's."""
    given = _owner(trial_id, token) | {"name": name, "value": json.dumps(value)}
    return connection.execute(text(_PUT_ATTR.format(table=table)), given).rowcount == 1


def last_report(connection: Connection, trial_id: int) -> float | None:
    """Return the last finite value that the trial reported, or None."""
    value: float | None = connection.scalar(_LAST_REPORT, {"trial": trial_id})
    return value


def get_past(connection: Connection, trial_id: int) -> tuple[dict[str, Any] | None, list[Any], int]:
    """Return the trial's latest attempt, its ended attempts, and its number of reports."""
    keys = {"holder_key": attributes.HOLDER.key, "history": attributes.HISTORY.key}
    found = connection.execute(_PAST, {"trial": trial_id, **keys}).one()
    return json.loads(found.holder or "null"), json.loads(found.past or "[]"), found.reports


def _owner(trial_id: int, token: str) -> dict[str, Any]:
    return {"trial": trial_id, "key": attributes.LEASE.key, "token": json.dumps(token)}


def _stored(value: float) -> dict[str, Any]:
    """Return a value in the form of Optuna's table, where infinities have names."""
    if math.isnan(value):
        raise ValueError("a trial's value must be a number, but it is nan")
    if math.isinf(value):
        return {"value": None, "type": "INF_POS" if value > 0 else "INF_NEG"}
    return {"value": float(value), "type": "FINITE"}
