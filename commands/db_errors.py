"""Errors of the database as one-line messages: connection, permission, deletion, damage.

Errors are recognised by the names of their classes: importing the classes takes a second, and most
commands need none.
"""

import sys
from typing import Any

# SQLAlchemy's errors after the connection is lost, at once and in the next use of the session.
_LOST = ("DatabaseError", "InterfaceError", "OperationalError", "PendingRollbackError")

# psycopg2's errors for missing rights; SQLAlchemy wraps them as ProgrammingError and InternalError.
_FORBIDDEN = ("InsufficientPrivilege", "ReadOnlySqlTransaction")
_DELETED = ("ForeignKeyViolation",)

# The beginnings of Optuna's KeyErrors for a missing study or trial.
_NO_RECORD = ("Record does not exist", "No trial with trial number")


def explain_outage(error: BaseException) -> str | None:
    """Return one line for a database error that is not a bug of Venation.

    None for any other error.
    """
    if isinstance(error, KeyError):
        return _deleted_message() if str(error.args[0] if error.args else "").startswith(_NO_RECORD) else None
    if type(error).__name__ == "StorageInternalError" and error.__cause__ is not None:
        error = error.__cause__  # Optuna wraps every error of a commit
    if type(error).__module__ != "sqlalchemy.exc":
        return None
    cause = getattr(error, "orig", None) or error
    reason = next(iter(str(cause).strip().splitlines()), type(error).__name__)
    if type(cause).__name__ in _FORBIDDEN:
        return (
            f"the database refuses ({reason}); connect to the primary server as the owner of the tables, or GRANT the"
            " user a role of `venation db init --roles` that may do this."
        )
    if type(cause).__name__ in _DELETED:
        return _deleted_message()
    if type(error).__name__ in _LOST:
        return f"the database went away ({reason}); see `venation db status`, then try again."
    return None


def explain_damage(error: Exception) -> str | None:
    """Return one line for an error that a damaged row of an opened database explains.

    None if no database was opened, or all of its rows can be read.
    """
    # The module is there if a database was opened.
    module: Any = sys.modules.get(f"{__package__.rpartition('.')[0]}.storage.damaged_rows")
    for engine in list(module.opened) if module else ():
        try:
            row = next(module.damaged_rows(engine), None)
        except Exception:  # noqa: S112 - the first error says more
            continue
        if row is not None:
            return str(row.sentence())
    return None


def _deleted_message() -> str:
    return "the study was deleted meanwhile, or a trial of it; see `venation study list`."
