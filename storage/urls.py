"""Database URLs: which one holds, its password from a file, and never a password in a message."""

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
_LONG = 8  # letters from which on a password cannot stand in a message by chance


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


def scrub(message: str, given: str) -> str:
    """``message`` without the passwords of the URL ``given``: servers and drivers may repeat what they were told.

    A short one is hidden as a whole word only, and none that the URL shows elsewhere: the gaps would tell it.
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
    """``given`` taken apart; None where that fails, or where a second @ would leave a piece of a password elsewhere.

    The parser's own message may quote such a piece, so it is dropped.
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
