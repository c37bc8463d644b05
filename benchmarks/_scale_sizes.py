"""Studies of any size, made of one real trial and its copies, and one worker's waits in them."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from _scale_crews import simulate
from optuna.trial import TrialState
from service import create, draw
from sqlalchemy import text

from venation.leases.claim import claim
from venation.storage import embedded
from venation.storage.artifacts import open_artifacts
from venation.storage.database import open_storage
from venation.studies.context import open_context
from venation.studies.registry import open_study, study_row

ASKS = 9
TABLES = (
    "trials, trial_values, trial_params, trial_intermediate_values, trial_user_attributes, trial_system_attributes,"
    " trial_heartbeats"
)
# Copies of one real trial with different params and values.
COPIES = """
WITH t AS (
  INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)
  SELECT n, :study, 'COMPLETE', now(), now() FROM generate_series(:first, :last) n RETURNING trial_id
), v AS (
  INSERT INTO trial_values (trial_id, objective, value, value_type) SELECT trial_id, 0, random(), 'FINITE' FROM t
), p AS (
  INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
  SELECT t.trial_id, param_name, floor(random() * 4), distribution_json FROM t, trial_params s WHERE s.trial_id = :one
), i AS (
  INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
  SELECT t.trial_id, step, random(), 'FINITE' FROM t, trial_intermediate_values s WHERE s.trial_id = :one
), u AS (
  INSERT INTO trial_user_attributes (trial_id, key, value_json)
  SELECT t.trial_id, key, value_json FROM t, trial_user_attributes s WHERE s.trial_id = :one
), h AS (
  INSERT INTO trial_heartbeats (trial_id, heartbeat) SELECT trial_id, now() FROM t
)
INSERT INTO trial_system_attributes (trial_id, key, value_json)
SELECT t.trial_id, key, value_json FROM t, trial_system_attributes s WHERE s.trial_id = :one
"""


def fill(home: Path, name: str, finished: int) -> float:
    """Create a study with ``finished`` finished trials, all but one copies; return the added MB."""
    handle = create(home, name, finished + ASKS + 2)
    context = open_context(handle, open_artifacts(None), device="cpu")
    lease = claim(handle, max_losses=3)
    assert lease is not None
    result = simulate(0.0, context, lease, lambda: None)
    lease.end(TrialState.COMPLETE, result.values, record=lambda connection: result.record(connection, lease.trial_id))
    size_query = text(
        " + ".join(f"pg_total_relation_size('{table}')" for table in TABLES.split(", ")).join(("SELECT ", ""))
    )
    given = {"study": handle.id, "one": lease.trial_id, "first": 1, "last": finished - 1}
    with handle.storage.engine.begin() as connection:
        before = connection.scalar(size_query)
        connection.execute(text(COPIES), given)
        after = connection.scalar(size_query)
    handle.storage.engine.dispose()
    return float(after - before) / 1e6


def measure_worker(name: str, results: Any) -> None:
    """Put one worker's times in a study, by step, and its unshared memory into ``results``."""
    handle = open_study(open_storage(embedded.start()), name)
    steps: dict[str, list[float]] = {step: [] for step in ("claim and draw", "report", "end", "status")}
    for _ in range(ASKS + 1):
        clock = LapTimer()
        lease = claim(handle, max_losses=3)
        assert lease is not None
        draw(lease.trial)
        steps["claim and draw"].append(clock())
        lease.trial.report(0.5, 0)
        steps["report"].append(clock())
        lease.end(TrialState.COMPLETE, [0.5])
        steps["end"].append(clock())
    memory = psutil.Process().memory_full_info().uss / 1e6
    clock = LapTimer()
    study_row(open_study(open_storage(embedded.start()), name))
    steps["status"].append(clock())
    first = steps["claim and draw"].pop(0)
    rows = [(step, 1000 * median(times), "ms") for step, times in steps.items()]
    results.put([("first claim and draw", 1000 * first, "ms"), *rows, ("own memory of a worker", memory, "MB")])


class LapTimer:
    """A timer that returns the seconds since its last call."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def __call__(self) -> float:
        """Return the seconds since the last call."""
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        return passed
