"""Open and initialise the database of the studies, and lock a study in it."""

import math
import select
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
from .damaged_rows import opened
from .db_errors import explain
from .roles import create_roles
from .schema import check_schema, schema_revision
from .urls import parse_url, resolve_url

__all__ = [
    "StudyLocked",
    "cached",
    "connected",
    "init_db",
    "open_storage",
    "resolve_url",
    "study_lock",
]

# First number of all advisory locks of Venation: other programs on the database do not use it.
_LOCKS = 0x56454E41
_INIT_LOCK = 0
_CONNECT_S = 8
_LOCK_TIMEOUT_S = 60

# One message to the server. The holder's idle limit is shorter than the others' lock timeout. READ
# COMMITTED, not the database's default: under REPEATABLE READ all statements would see the
# state before the lock was free.
_LOCK_STUDY = text(
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = :timeout;"
    " SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 30000;"
    " SELECT pg_advisory_xact_lock(:a, :b)"
)
# Connections used more recently are not probed: a probe doubles the cost of a statement.
_FRESH_S = 1.0

StaleCallback = Callable[[optuna.Study, optuna.trial.FrozenTrial], None]


class StudyLocked(UserError):
    """Another process has held a study's lock for too long."""


def init_db(url: str, *, roles: bool = False) -> tuple[str, ...]:
    """Create the tables in an empty database; leave existing tables unchanged.

    With ``roles``, also create the roles of ``storage.roles``, and return their names.

    Optuna alone crashes if several processes do this at once. Here each process waits for an
    advisory lock. PostgreSQL frees it with the transaction, also that of a killed process. Raises
    UserError.
    """
    with connected(url) as connection, connection.execution_options(isolation_level="READ COMMITTED").begin():
        # A session lock would outlive this process behind PgBouncer, which reuses the session.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:a, :b)"), {"a": _LOCKS, "b": _INIT_LOCK})
        if schema_revision(connection) is None:
            storage = RDBStorage(_full(url), _engine_options("venation init"))
            storage.engine.dispose()
        else:
            check_schema(connection)
        return create_roles(connection) if roles else ()


def open_storage(
    url: str,
    *,
    name: str = "venation",
    create: bool = True,
    heartbeat_interval: int | None = None,
    grace_period: int | None = None,
    heartbeat_stale_trial_callback: StaleCallback | None = None,
) -> RDBStorage:
    """Open Optuna's storage at ``url`` (from ``resolve_url``); create missing tables.

    ``name`` is the name of the server's sessions. Idle connections are probed before use, kept
    alive, and renewed every 30 minutes. A statement lasts one minute at most. Each storage keeps
    two connections and opens four at most. Raises UserError, in one line, for an unreachable
    server, a wrong password, a missing database, another version's tables, and, with ``create``
    False, for missing tables.
    """
    with connected(url) as connection:
        empty = schema_revision(connection) is None
        if not empty:
            check_schema(connection)
    if empty and not create:
        raise UserError(f"the database {redact(url)} has no tables yet; make them with `venation db init`")
    if empty:
        init_db(url)
    with warnings.catch_warnings():
        # Optuna warns at every start that heartbeats are experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = RDBStorage(
            _full(url),
            _engine_options(name),
            # Checked above. Optuna's own check needs two connections at once: many processes that
            # start together behind a pooler may each get only one.
            skip_compatibility_check=True,
            skip_table_creation=True,
            heartbeat_interval=heartbeat_interval,
            grace_period=grace_period,
            heartbeat_stale_trial_callback=heartbeat_stale_trial_callback,
        )
    _probe_idle_connections(storage.engine)
    opened.add(storage.engine)
    return storage


def cached(storage: RDBStorage) -> BaseStorage:
    """Wrap ``storage`` in Optuna's cache of finished trials, for studies and the dashboard."""
    return optuna.storages.get_storage(storage)


@contextmanager
def study_lock(storage: RDBStorage, study_id: int, *, timeout_s: float = _LOCK_TIMEOUT_S) -> Iterator[Connection]:
    """Hold the lock of a study, which excludes all other processes on all machines.

    Yields the connection that holds the lock. Its writes are committed at the end of the block,
    and only if the lock was held until then. The server frees the lock when this process or its
    connection dies. Hold it briefly: after 30 silent seconds, for example of a suspended process,
    the server closes the connection, and the end of the block raises
    sqlalchemy.exc.OperationalError. The lock is not reentrant. Raises StudyLocked if the lock is
    not free within ``timeout_s`` seconds.
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
    """Return libpq's options: short timeouts, and a dead peer is noticed within a minute."""
    return {
        "connect_timeout": _CONNECT_S,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # Keepalives do not cover unacknowledged data after a network cut; the kernel would wait 15
        # minutes.
        "tcp_user_timeout": 30_000,
        "application_name": name[:63],
        "options": "-c timezone=UTC -c statement_timeout=60000 -c idle_in_transaction_session_timeout=60000",
    }


def _probe_idle_connections(engine: Engine) -> None:
    """Probe a pooled connection before use if it was idle, and replace it if it is dead.

    A connection used less than a second ago is probed only if the server sent something since,
    such as a termination message. A new connection is not probed.
    """

    @event.listens_for(engine, "checkin")
    def note_checkin(_: Any, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def probe(connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
        idle_s = time.monotonic() - record.info.get("idle_since", math.inf)
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if idle_s < _FRESH_S and not poll.poll(0):
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg2.Error as error:
            raise DisconnectionError from error


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect without a pool until the end of the block; failures become UserError."""
    engine = create_engine(
        parse_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_connect_arguments("venation")
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise UserError(explain(error, url)) from None
