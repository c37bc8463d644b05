"""Mark a store with the databases that use it, so that gc deletes no other database's files."""

import io

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import text

from .store_protocol import Store, has_artifact

MARKER_PREFIX = "venation-database-"

# The server's system identifier, made with its data folder, and the database's oid: no setting
# changes them.
_IDENTITY = text(
    "SELECT system_identifier::text || '-' || (SELECT oid FROM pg_database WHERE datname = current_database())::text"
    " FROM pg_control_system()"
)


def marker_id(storage: BaseStorage) -> str | None:
    """Return the artifact id of the database's marker; None if ``storage`` is not PostgreSQL."""
    backend = getattr(storage, "_backend", storage)  # inside of Optuna's cache
    if not isinstance(backend, RDBStorage) or backend.engine.dialect.name != "postgresql":
        return None
    with backend.engine.connect() as connection:
        return MARKER_PREFIX + str(connection.scalar(_IDENTITY))


def write_marker(store: Store, storage: BaseStorage) -> None:
    """Write the database's marker to ``store`` if it is missing. Raises StoreFailed."""
    name = marker_id(storage)
    if name is None or has_artifact(store, name):
        return
    store.write(name, io.BytesIO(b"A database of Venation keeps files here.\n"))
