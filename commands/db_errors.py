"""What a database may answer in the middle of any command, in one line: it went away, forbids it, or has it no more.

Errors are told by the names of their classes: the modules take a second to import, and most commands need none of them.
"""

# How SQLAlchemy names the loss of a server, at once and in what a session does next.
_LOST = ("DatabaseError", "InterfaceError", "OperationalError", "PendingRollbackError")

# What psycopg2 names of the server's refusals; they are ProgrammingError and InternalError for SQLAlchemy.
_FORBIDDEN = ("InsufficientPrivilege", "ReadOnlySqlTransaction")
_GONE = ("ForeignKeyViolation",)

# How Optuna's KeyErrors begin where a study or a trial is not there.
_NO_RECORD = ("Record does not exist", "No trial with trial number")


def explain_outage(error: BaseException) -> str | None:
    """One line for an error of the database that no bug of ours made; None for any other error."""
    if isinstance(error, KeyError):
        return _deleted() if str(error.args[0] if error.args else "").startswith(_NO_RECORD) else None
    if type(error).__name__ == "StorageInternalError" and error.__cause__ is not None:
        error = error.__cause__  # Optuna's word for whatever came of a commit
    if type(error).__module__ != "sqlalchemy.exc":
        return None
    said = getattr(error, "orig", None) or error
    reason = next(iter(str(said).strip().splitlines()), type(error).__name__)
    if type(said).__name__ in _FORBIDDEN:
        return (
            f"the database refuses ({reason}); connect to the primary server as the owner of the tables, or GRANT the"
            " user SELECT, INSERT, UPDATE and DELETE on all tables and USAGE on all sequences."
        )
    if type(said).__name__ in _GONE:
        return _deleted()
    if type(error).__name__ in _LOST:
        return f"the database went away ({reason}); see `venation db status`, then try again."
    return None


def _deleted() -> str:
    return "the study was deleted meanwhile, or a trial of it; see `venation study list`."
