"""Login files: users, tokens, damaged lines, sessions, and the limit of wrong tries."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from venation.errors import UserError
from venation.web import login as module
from venation.web.login import Login, TooManyTries, add_user, read_login

TOKEN = "0123456789abcdef0123"


def test_a_password_is_hashed_by_scrypt_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add_user(path, "ada", "corolla and calyx")
    name, kind, salt, digest = path.read_text().strip().split(":")
    expected = hashlib.scrypt(b"corolla and calyx", salt=bytes.fromhex(salt), n=16384, r=8, p=1, dklen=32)
    assert (name, kind, digest) == ("ada", "scrypt", expected.hex())
    assert path.stat().st_mode & 0o777 == 0o600
    login = read_login(path)
    assert login.check("ada", "corolla and calyx")
    assert not login.check("ada", "corolla") and not login.check("eve", "corolla and calyx") and not login.check("", "")


def test_a_password_is_replaced_and_other_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text(f"# the lab\n{TOKEN}\n")
    for password in ("first password", "second password"):
        add_user(path, "ada", password)
    login = read_login(path)
    assert login.check("", TOKEN) and login.check("ada", "second password") and not login.check("ada", "first password")
    assert path.read_text().startswith(f"# the lab\n{TOKEN}\nada:") and path.read_text().count("ada:") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["users"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no user and no token"),
        ("short\n", "line 1"),
        (f"{TOKEN}\nada:plain password\n", "line 2"),
        (f"ada:scrypt:{'0' * 32}:zz\n", "line 1"),
        (b"\xff\xfe", "no text"),
        (None, "No such file"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str | bytes | None, says: str) -> None:
    path = tmp_path / "users"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=says) as caught:
        read_login(path)
    assert "\n" not in str(caught.value) and "plain password" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "password"), [("a:b", "long enough"), ("", "long enough"), ("x" * 65, "long enough"), ("ada", "short")]
)
def test_a_user_that_does_not_fit_is_not_written(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(UserError, match="take"):
        add_user(tmp_path / "users", name, password)
    assert not [*tmp_path.iterdir()]


def test_a_session_ends_and_cannot_be_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    login, other = Login({}, (TOKEN,)), Login({}, (TOKEN,))
    session = login.new_session()
    assert login.has_session(session) and not other.has_session(session)
    end, _, signature = session.partition(".")
    for forged in ("", ".", "x", f"{int(end) + 1}.{signature}", f"{end}.", f"{end}.{signature[:-1]}", f"{end}.\xe9"):
        assert not login.has_session(forged), forged
    monkeypatch.setattr(module.time, "time", lambda: int(end) + 1)
    assert not login.has_session(session)


def test_wrong_tries_are_limited_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    login, clock = Login({}, (TOKEN,)), [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    assert not any(login.check("", f"guess {n}") for n in range(20))
    with pytest.raises(TooManyTries, match="wait a minute"):
        login.check("", "guess 20")
    # Guesses of others must not lock out the owner of a token, which is too long to guess.
    assert login.check("", TOKEN)
    clock[0] = 61.0
    assert not login.check("", "guess 21")


def test_tries_at_one_time_do_not_pass_the_limit() -> None:
    login, wrong = Login({"ada": ("00" * 16, "00" * 32)}, ()), []

    def guess(number: int) -> None:
        with suppress(TooManyTries):
            wrong.append(login.check("ada", f"guess {number}"))

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(guess, range(40)))
    assert wrong == [False] * 20
