"""Which databases keep their files in a store: each leaves a mark there, so that none takes another's for its waste."""

import io

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import text

from .store_protocol import Store, holds

MARK = "venation-database-"

# The server's own number, made when its data folder was, and the database's within it: no setting changes them.
_IDENTITY = text(
    "SELECT system_identifier::text || '-' || (SELECT oid FROM pg_database WHERE datname = current_database())::text"
    " FROM pg_control_system()"
)


def mark_id(storage: BaseStorage) -> str | None:
    """Under which id the database of ``storage`` marks a store; None for a storage that is no database."""
    backend = getattr(storage, "_backend", storage)  # Optuna's cache holds the database's storage in it
    if not isinstance(backend, RDBStorage) or backend.engine.dialect.name != "postgresql":
        return None
    with backend.engine.connect() as connection:
        return MARK + str(connection.scalar(_IDENTITY))


def leave_mark(store: Store, storage: BaseStorage) -> None:
    """Mark ``store`` as one in which the database of ``storage`` keeps files. Raises StoreFailed."""
    name = mark_id(storage)
    if name is None or holds(store, name):
        return
    store.write(name, io.BytesIO(b"A database of Venation keeps files here.\n"))
