"""Database URLs: which one holds, its password from a file, and never a password in a message."""

import os
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import UserError
from . import embedded

_DRIVER = "postgresql+psycopg2"
_SPELLINGS = ("postgres", "postgresql", _DRIVER)
_SECRET_KEYS = ("password", "sslpassword")
_FORM = "postgresql://USER@HOST:5432/DATABASE"


def resolve_url(storage: str | None) -> str:
    """The database that holds the studies: ``storage``, else ``VENATION_STORAGE``, else the embedded server, started.

    ``VENATION_STORAGE_PASSWORD_FILE`` names a file with the URL's password (a container's secret). It does not concern
    the embedded server, which has none. Raises UserError for anything but PostgreSQL.
    """
    given = storage or os.environ.get("VENATION_STORAGE")
    if not given:
        return embedded.start()
    url = parse_url(given)
    secret = os.environ.get("VENATION_STORAGE_PASSWORD_FILE")
    if secret:
        url = url.set(password=_read_secret(Path(secret)))
    return url.render_as_string(hide_password=False)


def parse_url(given: str) -> URL:
    """``given`` as a URL of SQLAlchemy's psycopg2 dialect. Raises UserError, without the password."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # The parser's own message may quote a piece of the password, where it holds an unescaped @ or /.
        raise UserError(
            f"the storage URL cannot be read; write {_FORM}, with %40 for @ and %2F for / inside a password"
        ) from None
    if url.drivername not in _SPELLINGS:
        raise UserError(f"{url.drivername} cannot hold studies; give {_FORM}, or nothing for the embedded PostgreSQL")
    if not url.database:
        raise UserError(f"{redact(given)} names no database; write {_FORM}")
    return url.set(drivername=_DRIVER)


def redact(given: str) -> str:
    """``given`` fit for messages: no password, neither in its usual place nor among the query's options."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        return "***"
    secrets = {key: "***" for key in _SECRET_KEYS if key in url.query}
    return url.update_query_dict(secrets).render_as_string(hide_password=True)


def scrub(message: str, given: str) -> str:
    """``message`` without the passwords of the URL ``given``: servers and drivers may repeat what they were told."""
    url = make_url(given)
    secrets = [url.password, *(url.query.get(key) for key in _SECRET_KEYS)]
    for secret in secrets:
        if isinstance(secret, str) and secret:
            message = message.replace(secret, "***")
    return message


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(
            f"VENATION_STORAGE_PASSWORD_FILE names {path}: {reason}; name a file with the password"
        ) from None
