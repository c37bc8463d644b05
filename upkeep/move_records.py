"""Move the records of ended trials that earlier versions kept among the user attributes."""

from optuna.storages import RDBStorage
from sqlalchemy import text

from ..storage.attributes import METRIC, METRICS, RECORDS, SPEC

# Workers of an earlier version may still run trials: only ended ones, which no longer change, and
# only those of Venation's studies. Two processes that do it at once wait for each other's rows.
_MOVE = text(
    "WITH moved AS ("
    " DELETE FROM trial_user_attributes a USING trials t, study_user_attributes s"
    " WHERE a.trial_id = t.trial_id AND t.state IN ('COMPLETE', 'PRUNED', 'FAIL') AND a.key = ANY(:keys)"
    "  AND s.study_id = t.study_id AND s.key = :spec RETURNING a.trial_id, a.key, a.value_json"
    "), kept AS ("
    " INSERT INTO trial_system_attributes (trial_id, key, value_json) SELECT trial_id, key, value_json FROM moved"
    " ON CONFLICT (trial_id, key) DO NOTHING"
    "), numbers AS ("
    " INSERT INTO trial_user_attributes (trial_id, key, value_json)"
    " SELECT trial_id, :metric || metric.key, CAST(metric.value AS text)"
    # The Python of a worker wrote NaN and infinities, which are no JSON to the server.
    "  FROM (SELECT * FROM moved WHERE key = :metrics AND value_json !~ 'NaN|Infinity') numbers,"
    "  json_each(CAST(numbers.value_json AS json)) AS metric WHERE json_typeof(metric.value) = 'number'"
    " ON CONFLICT (trial_id, key) DO NOTHING"
    ") SELECT count(DISTINCT trial_id) FROM moved"
)


def move_records(storage: RDBStorage) -> int:
    """Move the records and store each metric as a number of its own; return the number of trials.

    All or nothing, and safe to repeat, also while workers run.
    """
    keys = {"keys": [record.key for record in RECORDS], "spec": SPEC.key, "metrics": METRICS.key, "metric": METRIC.key}
    with storage.engine.begin() as connection:
        return int(connection.scalar(_MOVE, keys) or 0)
