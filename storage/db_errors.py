"""Connection and permission errors of the database as one-line messages with advice."""

import optuna
from sqlalchemy.exc import DataError, DBAPIError, NotSupportedError, ProgrammingError

from ..redaction import redact
from .roles import ADVICE
from .urls import hide_passwords

# Errors of the statement itself, not of a server that goes away.
_REFUSED = (DataError, NotSupportedError, ProgrammingError)


def is_outage(error: BaseException) -> bool:
    """Return whether a database error may be transient: not a missing right or wrong statement."""
    if isinstance(error, optuna.exceptions.StorageInternalError) and error.__cause__ is not None:
        error = error.__cause__  # Optuna wraps every error of a commit
    return not isinstance(error, _REFUSED)


def explain(error: DBAPIError, url: str) -> str:
    """Return why the database of ``url`` cannot be used, in one line without its password."""
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    # A host with several addresses gives several lines; the one with FATAL comes from a server that
    # answered.
    reason = next((line.strip() for line in lines if "FATAL:" in line), lines[0])
    advice = "start the server, or correct --storage or VENATION_STORAGE"
    if "password" in reason or "authentication" in reason:
        advice = "correct the password in the URL or in the file that VENATION_STORAGE_PASSWORD_FILE names, or the user"
    elif "invalid" in reason:
        advice = "correct the URL in --storage or VENATION_STORAGE"
    elif "does not exist" in reason:
        advice = "create it on the server (createdb), or correct the URL"
    elif "too many" in reason or "reserved" in reason:
        advice = "stop some workers, or raise the server's max_connections"
    elif "max_client_conn" in reason:
        advice = "stop some workers, or raise max_client_conn in pgbouncer.ini, see docs/how-to/scale.md"
    elif "unsupported startup parameter" in reason:
        advice = "set `ignore_startup_parameters = options` in pgbouncer.ini, see docs/how-to/scale.md"
    elif "permission denied for database" in reason:
        advice = "GRANT the user CONNECT on the database, or connect as its owner"
    elif "permission denied for table" in reason or "permission denied for sequence" in reason:
        advice = ADVICE
    elif "permission denied" in reason:
        advice = "grant the user the right to create tables, or connect as the database's owner"
    return f"cannot use the database {redact(url)}: {hide_passwords(reason, url)}; {advice}"
