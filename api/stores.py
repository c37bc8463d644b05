"""Open the database of the studies and the artifact store."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from ..storage.artifacts import Artifacts


def open_database(
    storage: str | None, *, session: str = "venation", reading: bool = False, create: bool = True
) -> "RDBStorage":
    """Open the database of the studies.

    Starts the embedded server if neither ``storage`` nor the environment names a database. The
    connections are named ``session``. Without ``create`` a database without tables is refused.
    ``reading`` is for callers that write nothing: they see each trial whole or not at all. Optuna
    reads a trial by several statements, between which another process may delete its study.
    """
    import optuna

    from ..storage.database import open_storage
    from ..storage.urls import resolve_url

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = open_storage(resolve_url(storage), name=session, create=create)
    if reading:
        database.engine.update_execution_options(isolation_level="REPEATABLE READ")
    return database


def open_both(
    storage: str | None, artifacts: str | None, *, session: str = "venation"
) -> "tuple[RDBStorage, Artifacts]":
    """Open the database and the artifact store."""
    from ..storage.artifacts import open_artifacts

    return open_database(storage, session=session), open_artifacts(artifacts)


def open_to_write(
    storage: str | None, artifacts: str | None, *, session: str = "venation"
) -> "tuple[RDBStorage, Artifacts]":
    """Open the database and the artifact store, and leave the database's marker in the store.

    Raises UserError if one of them cannot be written to, before any work is done.
    """
    from ..storage.owner_markers import write_marker
    from ..storage.store_protocol import check_writable
    from ..upkeep.doctor import check_rights

    database, store = open_both(storage, artifacts, session=session)
    check_rights(database)
    check_writable(store)
    write_marker(store, database)
    return database, store
