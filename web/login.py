"""Users and tokens of a server: the login file, passwords, sessions.

A line of the file is ``NAME:scrypt:SALT:HASH`` (a user, hexadecimal) or a token without a colon.
Passwords are hashed by scrypt with the parameters that RFC 7914 gives for interactive logins.
"""

import hashlib
import hmac
import os
import re
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from ..errors import UserError

SESSION_S = 12 * 3600
MIN_TOKEN, MIN_PASSWORD = 16, 8
_TRIES, _WINDOW_S = 20, 60.0
_USER = re.compile(r"([\w.@-]{1,64}):scrypt:([0-9a-f]{32}):([0-9a-f]{64})")
_ADVICE = "add a user with `venation dashboard --login FILE --add-user NAME`, or a token of `openssl rand -hex 24`"
_NAME = re.compile(r"[\w.@-]{1,64}")


class TooManyTries(UserError):
    """Too many wrong logins in the last minute."""


@dataclass
class Login:
    """The users and tokens of a login file, and the key of this server's sessions."""

    users: dict[str, tuple[str, str]]
    tokens: tuple[str, ...]
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _failures: deque[float] = field(default_factory=deque, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def check(self, user: str, secret: str) -> bool:
        """Return whether a user's password, or without a user a token, is right.

        Raises TooManyTries after 20 wrong ones in a minute, but a right token passes even then:
        guessing cannot find one, and wrong ones of others must not lock its owner out. Checks wait
        for each other: many at once would pass the limit, and each hash takes 16 MiB.
        """
        with self._lock:
            return self._check(user, secret)

    def _check(self, user: str, secret: str) -> bool:
        if not user and any([hmac.compare_digest(secret.encode(), token.encode()) for token in self.tokens]):
            return True
        now = time.monotonic()
        while self._failures and now - self._failures[0] > _WINDOW_S:
            self._failures.popleft()
        if len(self._failures) >= _TRIES:
            raise TooManyTries("too many wrong logins; wait a minute, then try again.")
        # An unknown name takes as long as a known one.
        salt, known = self.users.get(user, ("00" * 16, ""))
        if user and hmac.compare_digest(_hash(secret, salt), known):
            return True
        self._failures.append(now)
        return False

    def new_session(self) -> str:
        """Return the value of a session's cookie, which ends after 12 hours or with the server."""
        end = str(int(time.time()) + SESSION_S)
        return f"{end}.{self._sign(end)}"

    def has_session(self, value: str) -> bool:
        """Return whether a cookie's value is one of ``new_session`` that has not ended."""
        end, _, signature = value.partition(".")
        return hmac.compare_digest(signature.encode(), self._sign(end).encode()) and int(end) > time.time()

    def _sign(self, end: str) -> str:
        return hmac.new(self._key, end.encode(), "sha256").hexdigest()


def read_login(path: Path) -> Login:
    """Read a login file. Raises UserError for a missing, empty or damaged one."""
    users, tokens = {}, []
    for number, line in enumerate(_lines(path), 1):
        if not line or line.startswith("#"):
            continue
        if user := _USER.fullmatch(line):
            users[user[1]] = (user[2], user[3])
        elif ":" in line or len(line) < MIN_TOKEN:
            raise UserError(
                f"line {number} of {path} is neither a user nor a token of {MIN_TOKEN} characters or more; {_ADVICE}."
            )
        else:
            tokens.append(line)
    if not users and not tokens:
        raise UserError(f"{path} holds no user and no token; {_ADVICE}.")
    return Login(users, tuple(tokens))


def add_user(path: Path, name: str, password: str) -> None:
    """Add a user to the login file, or change the password; the owner alone may read a new file.

    Raises UserError for a name or a password that does not fit.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"user name {name[:40]!r} does not fit; take up to 64 letters, digits, dots, dashes or @.")
    if len(password) < MIN_PASSWORD:
        raise UserError(f"the password has {len(password)} characters; take {MIN_PASSWORD} or more.")
    kept = [line for line in (_lines(path) if path.exists() else []) if not line.startswith(f"{name}:")]
    salt = secrets.token_hex(16)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write("\n".join([*kept, f"{name}:scrypt:{salt}:{_hash(password, salt)}", ""]))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place with --login.") from None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"cannot read the login file {path}: {reason}; {_ADVICE}.") from None


def _hash(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=32).hex()
