"""Check that the installed Optuna can write the tables of a database."""

from functools import cache
from pathlib import Path

import optuna
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ..errors import UserError
from ..redaction import redact


def schema_revision(connection: Connection) -> str | None:
    """Return the revision of the tables; None if the database is not initialised completely.

    Initialising writes the revision last. Raises UserError for another program's tables that keep
    a revision under the same name.
    """
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision is not None and connection.scalar(text("SELECT to_regclass('studies')")) is None:
        place = redact(connection.engine.url.render_as_string(hide_password=False))
        raise UserError(
            f"the tables of {place} are another program's (revision {revision}, and no studies); "
            "create a database of their own for the studies (createdb), and correct the URL"
        )
    return None if revision is None else str(revision)


def check_schema(connection: Connection) -> None:
    """Raise UserError if the installed Optuna writes another revision of the tables.

    Optuna's own check is not used, because it needs an open storage.
    """
    known = _revisions()
    revision = schema_revision(connection)
    if revision == known[0]:
        return
    place = redact(connection.engine.url.render_as_string(hide_password=False))
    if revision in known:
        raise UserError(
            f"the tables of {place} are of an older version ({revision}, not {known[0]}); back the database up, then "
            "run `optuna storage upgrade --storage URL`"
        )
    raise UserError(
        f"the tables of {place} are of a newer version ({revision}) than this installation knows ({known[0]}); "
        "install the newer venation here"
    )


@cache
def _revisions() -> list[str]:
    """Return all table revisions that the installed Optuna knows, the newest first."""
    folder = Path(optuna.__file__).parent / "storages" / "_rdb" / "alembic"
    return [script.revision for script in ScriptDirectory(str(folder)).walk_revisions()]
