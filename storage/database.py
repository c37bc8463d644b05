"""The database of the studies: opened so that it survives lost connections, initialised by one process at a time."""

import math
import select
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import optuna
import psycopg2
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    OperationalError,
)
from sqlalchemy.pool import ConnectionPoolEntry

from ..errors import UserError
from ..redaction import redact
from .db_errors import explain
from .schema import check_schema, schema_revision
from .urls import parse_url, resolve_url

__all__ = [
    "StudyLocked",
    "cached",
    "init_db",
    "open_storage",
    "resolve_url",
    "server_status",
    "study_lock",
]

# The first half of every advisory lock of ours, so that another program on the same database cannot meet them.
_LOCKS = 0x56454E41
_INIT_LOCK = 0
_CONNECT_S = 8
_LOCK_TIMEOUT_S = 60

# In one message to the server. A holder may be silent for less than what the others wait for it. What its statements
# see is what was committed before each of them, whatever the database's default: under REPEATABLE READ they would all
# see what there was before the lock was free.
_LOCK_STUDY = text(
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = :timeout;"
    " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 30000;"
    " SELECT pg_advisory_xact_lock(:a, :b)"
)
# A connection that was used so lately is not asked whether it is alive: that would double what a statement costs.
_FRESH_S = 1.0

StaleCallback = Callable[[optuna.Study, optuna.trial.FrozenTrial], None]


class StudyLocked(UserError):
    """Another process has held a study's lock for longer than anybody should."""


class ServerStatus(TypedDict):
    """What ``venation db status`` shows. ``trials`` counts by state; ``schema`` is None before ``init_db``."""

    url: str
    version: str
    schema: str | None
    studies: int
    trials: dict[str, int]
    connections: int
    max_connections: int


def init_db(url: str) -> None:
    """Make the tables in an empty database; nothing happens to one that has them.

    Optuna alone crashes where several processes do this at once. Here each waits for an advisory lock, which PostgreSQL
    frees with the transaction, also of a killed process. Raises UserError.
    """
    with _connected(url) as connection, connection.execution_options(isolation_level="READ COMMITTED").begin():
        # A session's lock would outlive us behind PgBouncer, which keeps the session for its next client.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:a, :b)"), {"a": _LOCKS, "b": _INIT_LOCK})
        if schema_revision(connection) is None:
            storage = RDBStorage(_full(url), _engine_options("venation init"))
            storage.engine.dispose()
        else:
            check_schema(connection)


def open_storage(
    url: str,
    *,
    name: str = "venation",
    create: bool = True,
    heartbeat_interval: int | None = None,
    grace_period: int | None = None,
    heartbeat_stale_trial_callback: StaleCallback | None = None,
) -> RDBStorage:
    """Optuna's storage over ``url`` (from ``resolve_url``); makes the tables if they are missing.

    ``name`` shows up among the server's sessions. Connections are probed after a rest, kept alive, renewed every half
    hour, and no statement lasts over a minute. Each storage holds two, four at most. Raises UserError in one line for
    an unreachable server, a wrong password, a missing database, another version's tables, or none without ``create``.
    """
    with _connected(url) as connection:
        empty = schema_revision(connection) is None
        if not empty:
            check_schema(connection)
    if empty and not create:
        raise UserError(f"the database {redact(url)} has no tables yet; make them with `venation db init`")
    if empty:
        init_db(url)
    with warnings.catch_warnings():
        # We set Optuna's heartbeat with our eyes open: it is experimental, and says so at every start.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = RDBStorage(
            _full(url),
            _engine_options(name),
            # It was checked above; Optuna's own check needs two connections at once, of which many processes that start
            # together behind a pooler may each get one.
            skip_compatibility_check=True,
            skip_table_creation=True,
            heartbeat_interval=heartbeat_interval,
            grace_period=grace_period,
            heartbeat_stale_trial_callback=heartbeat_stale_trial_callback,
        )
    _probe_the_rested(storage.engine)
    return storage


def cached(storage: RDBStorage) -> BaseStorage:
    """``storage`` behind Optuna's cache of finished trials: what studies and the dashboard should be given."""
    return optuna.storages.get_storage(storage)


@contextmanager
def study_lock(storage: RDBStorage, study_id: int, *, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[Connection]:
    """Hold the one lock of a study, on a connection of its own; whoever else asks for it waits, on any machine.

    Yields that connection: what is written by it counts if the lock was held to the end of the block, and only then.
    The server frees the lock when this process or its connection dies. Keep it for moments: a holder silent for half a
    minute, because it was stopped, loses its connection, and leaving the block then raises
    sqlalchemy.exc.OperationalError. Not reentrant. Raises StudyLocked where the lock does not come free within
    ``timeout_s`` seconds.
    """
    with storage.engine.begin() as connection:
        given = {"a": _LOCKS, "b": study_id, "timeout": int(timeout_s * 1000)}
        try:
            connection.execute(_LOCK_STUDY, given)
            yield connection
        except OperationalError as error:
            if isinstance(error.orig, psycopg2.errors.LockNotAvailable):
                raise StudyLocked(
                    f"study {study_id} has been locked by another process for {timeout_s:g} s; "
                    "see who holds it with `venation db status`, then try again"
                ) from None
            raise


def server_status(url: str) -> ServerStatus:
    """The server's version and sessions, and what the database holds. Raises UserError."""
    with _connected(url) as connection:
        schema = schema_revision(connection)
        states: dict[str, int] = {}
        studies = 0
        if schema is not None:
            studies = connection.scalar(text("SELECT count(*) FROM studies")) or 0
            rows = connection.execute(text("SELECT state::text, count(*) FROM trials GROUP BY 1 ORDER BY 1"))
            states = {str(state).lower(): int(count) for state, count in rows}
        sessions = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return ServerStatus(
            url=redact(url),
            version=str(connection.scalar(text("SHOW server_version"))).split()[0],
            schema=schema,
            studies=studies,
            trials=states,
            connections=(connection.scalar(sessions) or 1) - 1,
            max_connections=int(connection.scalar(text("SHOW max_connections")) or 0),
        )


def _full(url: str) -> str:
    return parse_url(url).render_as_string(hide_password=False)


def _engine_options(name: str) -> dict[str, Any]:
    return {
        "pool_size": 2,
        "max_overflow": 2,
        "pool_recycle": 1800,
        "connect_args": _connect_arguments(name),
    }


def _connect_arguments(name: str) -> dict[str, Any]:
    """libpq's options: give up soon, notice a dead peer within a minute, leave no statement or transaction hanging."""
    return {
        "connect_timeout": _CONNECT_S,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # A cut network leaves data unacknowledged, which the keepalives do not watch; the kernel would wait 15 minutes.
        "tcp_user_timeout": 30_000,
        "application_name": name[:63],
        "options": "-c timezone=UTC -c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000",
    }


def _probe_the_rested(engine: Engine) -> None:
    """Have a pooled connection that nobody used for a while probed before its next use, and renewed if it is dead.

    One that was used a moment ago is probed if something came from the server since, which is how an end is told; a new
    one is not.
    """

    @event.listens_for(engine, "checkin")
    def rest(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def probe(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        rest_s = time.monotonic() - record.info.get("rests_since", math.inf)
        news = select.poll()
        news.register(connection.fileno(), select.POLLIN)
        if rest_s < _FRESH_S and not news.poll(0):
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg2.Error as error:
            raise DisconnectionError from error


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """One connection outside any pool, which ends with the block; its failures as UserError."""
    engine = create_engine(
        parse_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_connect_arguments("venation")
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise UserError(explain(error, url)) from None
