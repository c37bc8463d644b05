"""Export Prometheus metrics of the whole service, read from the database at every scrape."""

import time
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, text

from ..errors import UserError
from ..storage.attributes import HISTORY, HOLDER, SPEC, SUSPENDED
from ..workers.worker_status import list_workers

Gauge = GaugeMetricFamily

_COUNTS = text(
    "SELECT s.study_name AS study, s.study_id, CAST(t.state AS text) AS state, count(t.trial_id) AS number"
    " FROM studies s JOIN study_user_attributes a ON a.study_id = s.study_id AND a.key = :spec"
    " LEFT JOIN trials t ON t.study_id = s.study_id GROUP BY 1, 2, 3 ORDER BY 1, 3"
)
_BUDGETS = text(
    "SELECT s.study_name AS study, CAST(CAST(a.value_json AS json) ->> 'trials' AS integer) AS budget,"
    " EXISTS (SELECT FROM study_user_attributes p WHERE p.study_id = s.study_id AND p.key = :paused) AS paused"
    " FROM studies s JOIN study_user_attributes a ON a.study_id = s.study_id AND a.key = :spec ORDER BY 1"
)
_SILENCE = text(
    "SELECT s.study_name AS study, max(extract(epoch from timezone('utc', clock_timestamp()) - h.heartbeat)) AS seconds"
    " FROM trials t JOIN studies s USING (study_id) JOIN trial_heartbeats h USING (trial_id)"
    " WHERE t.state = 'RUNNING' GROUP BY 1 ORDER BY 1"
)
_SPENT = text(
    "SELECT study, split_part(coalesce(attempt ->> 'device', ''), ':', 1) AS device, sum(extract(epoch from"
    " coalesce(CAST(attempt ->> 'ended' AS timestamptz), clock_timestamp())"
    " - CAST(attempt ->> 'started' AS timestamptz))) AS seconds FROM ("
    " SELECT s.study_name AS study,"
    f"  json_array_elements(CAST({HISTORY.sql('t.trial_id', 'history')} AS json)) AS attempt"
    "  FROM trials t JOIN studies s USING (study_id)"
    " UNION ALL SELECT s.study_name, CAST(a.value_json AS json)"
    "  FROM trial_system_attributes a JOIN trials t USING (trial_id) JOIN studies s USING (study_id)"
    "  WHERE a.key = :holder AND t.state = 'RUNNING'"
    ") attempts GROUP BY 1, 2 ORDER BY 1, 2"
)


class ServiceCollector(Collector):
    """A collector that queries the database at every scrape.

    If the database does not answer, the scrape succeeds with ``venation_database_up 0``.
    """

    def __init__(self, storage: RDBStorage) -> None:
        self._storage = storage

    def collect(self) -> Iterator[Gauge]:
        """Yield the metrics, all gauges, because deleting a study lowers the sums."""
        up = Gauge("venation_database_up", "Whether the database answers.")
        try:
            families = list(self._families())
        except sqlalchemy.exc.SQLAlchemyError:
            families = []
        up.add_metric([], float(bool(families)))
        yield up
        yield from families

    def _families(self) -> Iterator[Gauge]:
        with self._storage.engine.connect() as connection:
            yield _latency(connection)
            yield from _trials(connection)
            yield _by_study(
                "venation_trial_silence_seconds",
                "Longest time since the last heartbeat of a study's running trials.",
                connection.execute(_SILENCE).all(),
            )
            spent = Gauge("venation_device_seconds", "Seconds of all attempts at trials.", labels=("study", "device"))
            for row in connection.execute(_SPENT, {"history": HISTORY.key, "holder": HOLDER.key}):
                spent.add_metric([row.study, row.device or "unknown"], max(0.0, float(row.seconds)))
            yield spent
        yield _workers(self._storage)


def _latency(connection: Connection) -> Gauge:
    began = time.perf_counter()
    connection.execute(text("SELECT 1"))
    seconds = time.perf_counter() - began
    return Gauge("venation_database_latency_seconds", "Round-trip time of a query to the database.", value=seconds)


def _trials(connection: Connection) -> Iterator[Gauge]:
    trials = Gauge("venation_trials", "Trials of a study by state.", labels=("study", "state"))
    counts: dict[str, dict[str, int]] = {}
    for row in connection.execute(_COUNTS, {"spec": SPEC.key}):
        counts.setdefault(row.study, {})[row.state or ""] = row.number
    for study, states in counts.items():
        for state in TrialState:
            trials.add_metric([study, state.name.lower()], states.get(state.name, 0))
    yield trials
    queue = Gauge("venation_queue_trials", "Waiting trials, and trials left in the budget.", labels=("study",))
    paused = Gauge("venation_study_paused", "Whether a study is paused.", labels=("study",))
    for row in connection.execute(_BUDGETS, {"spec": SPEC.key, "paused": SUSPENDED.key}):
        states = counts.get(row.study, {})
        room = max(0, row.budget - sum(states.values())) if row.budget is not None else 0
        queue.add_metric([row.study], states.get(TrialState.WAITING.name, 0) + room)
        paused.add_metric([row.study], float(row.paused))
    yield queue
    yield paused


def _by_study(name: str, help_text: str, rows: Any) -> Gauge:
    family = Gauge(name, help_text, labels=("study",))
    for row in rows:
        family.add_metric([row.study], float(row.seconds))
    return family


def _workers(storage: RDBStorage) -> Gauge:
    family = Gauge("venation_workers", "Workers by state.", labels=("state",))
    states = [row["state"] for row in list_workers(storage)]
    for state in ("busy", "idle", "silent"):
        family.add_metric([state], states.count(state))
    return family


def service_registry(storage: RDBStorage) -> CollectorRegistry:
    """Return a registry with the metrics of the whole service."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(storage))
    return registry


def serve_registry(registry: CollectorRegistry, *, host: str, port: int) -> int:
    """Serve ``registry`` over HTTP from a thread and return the port; port 0 chooses a free one.

    Raises UserError if the address cannot be bound.
    """
    try:
        server, _ = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise UserError(f"cannot serve metrics on {host}:{port} ({error.strerror}); choose another port.") from None
    return int(server.server_port)
