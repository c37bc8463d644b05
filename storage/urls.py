"""Find and parse the database URL; keep its password out of messages."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import UserError
from ..redaction import SECRET_OPTIONS, redact
from . import embedded

_DRIVER = "postgresql+psycopg2"
_SPELLINGS = ("postgres", "postgresql", _DRIVER)
_FORM = "postgresql://USER@HOST:5432/DATABASE"
_LONG = 8  # passwords of this length do not occur in a message by chance


def resolve_url(storage: str | None) -> str:
    """Return the URL of the studies' database.

    That is ``storage``, else ``VENATION_STORAGE``, else the embedded server, which is then started.
    ``VENATION_STORAGE_PASSWORD_FILE`` names a file with the URL's password, such as a container's
    secret; the embedded server has no password. Raises UserError for anything but PostgreSQL.
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
    """Parse a URL for SQLAlchemy's psycopg2 dialect. Raises UserError, without the password."""
    url = _parsed(given)
    if url is None:
        raise UserError(
            f"the storage URL cannot be read; write {_FORM}, with %40 for @ and %2F for / inside a password"
        )
    if url.drivername not in _SPELLINGS:
        raise UserError(f"{url.drivername} cannot hold studies; give {_FORM}, or nothing for the embedded PostgreSQL")
    if not url.database:
        raise UserError(f"{redact(given)} names no database; write {_FORM}")
    return url.set(drivername=_DRIVER)


def hide_passwords(message: str, given: str) -> str:
    """Return ``message`` without the passwords of the URL ``given``, which servers may repeat.

    A short password is hidden as a whole word only. A password that equals the URL's user, host or
    database is not hidden, because the gaps would reveal it.
    """
    url = _parsed(given)
    if url is None:
        return "***"
    for secret in set(_secrets(url)) - {"", url.username, url.host, url.database}:
        for spelling in {secret, quote(secret, safe=""), quote_plus(secret)}:
            word = re.escape(spelling)
            message = re.sub(word if len(spelling) >= _LONG else rf"(?<!\w){word}(?!\w)", "***", message)
    return message


def _parsed(given: str) -> URL | None:
    """Parse a URL; return None if that fails, or if a second @ would misplace part of a password.

    The parser's own message is dropped, because it may quote that part.
    """
    try:
        return None if given.count("@") > 1 else make_url(given)
    except (ArgumentError, ValueError):
        return None


def _secrets(url: URL) -> Iterator[str]:
    yield url.password or ""
    for key in SECRET_OPTIONS:
        value = url.query.get(key, ())
        yield from (value,) if isinstance(value, str) else value


def _read_secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(
            f"VENATION_STORAGE_PASSWORD_FILE names {path}: {reason}; name a file with the password"
        ) from None
