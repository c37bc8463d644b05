"""The embedded PostgreSQL: one server for several starters, crashes, and one-line errors."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
from sql_helpers import execute
from sqlalchemy import create_engine, text

from venation.errors import UserError
from venation.storage import embedded
from venation.storage.postmaster import binaries

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
START = "from venation.storage import embedded; print(embedded.start(), embedded.status()['pid'])"


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second home, with a space in its path; its server is stopped after the test."""
    parent = Path(tempfile.mkdtemp(prefix="vn")).resolve()
    parent.chmod(0o755)  # the server's user passes through it
    monkeypatch.setenv("VENATION_HOME", str(parent / "a home"))
    yield parent / "a home"
    embedded.stop()
    shutil.rmtree(parent)


def spawn(code: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    # XDG_RUNTIME_DIR unset and an unknown locale are what containers and SSH sessions bring.
    environment = {key: value for key, value in os.environ.items() if key != "XDG_RUNTIME_DIR"}
    environment["LC_ALL"] = "xx_YY.UTF-8"
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, env=environment, cwd=tempfile.gettempdir()
    )


def test_eight_processes_share_one_server_that_outlives_them_and_can_be_stopped(own_home: Path) -> None:
    starters = [spawn(START) for _ in range(8)]
    answers = [starter.communicate(timeout=120) for starter in starters]
    assert [error for _, error in answers] == [""] * 8
    assert len({out for out, _ in answers}) == 1
    url, pid = answers[0][0].split()
    state = embedded.status()
    assert state is not None and (state["url"], state["pid"]) == (url, int(pid))
    with create_engine(url).connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == "venation"
        assert connection.scalar(text("SHOW max_connections")) == "200"
        assert connection.scalar(text("SHOW listen_addresses")) == ""
        connection.engine.dispose()
    assert embedded.stop() is True
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url.replace("+psycopg2", ""))
    assert embedded.status() is None
    assert embedded.stop() is False


def test_a_server_starts_after_a_kill_and_with_a_reused_process_id(own_home: Path) -> None:
    embedded.start()
    first = embedded.status()
    assert first is not None
    pid_file = Path(first["folder"]) / "postmaster.pid"
    psutil.Process(first["pid"]).kill()
    psycopg2.connect(embedded.start().replace("+psycopg2", "")).close()
    second = embedded.status()
    assert second is not None and second["pid"] != first["pid"]
    postmaster = psutil.Process(second["pid"])
    postmaster.kill()
    for lock in (pid_file, pid_file.with_name(".s.PGSQL.5432.lock")):
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert embedded.status() is None
    psycopg2.connect(embedded.start().replace("+psycopg2", "")).close()


def test_a_folder_in_use_by_another_machine_is_refused(own_home: Path) -> None:
    data = own_home / "postgres"
    data.mkdir(parents=True)
    (data / "postmaster.pid").write_text("999999999\n\n\n\n\n")
    (data / "venation.host").write_text("elsewhere")
    with pytest.raises(UserError, match="machine elsewhere.*VENATION_HOME"):
        embedded.start()
    assert (data / "postmaster.pid").exists()


def test_a_folder_that_is_being_set_up_is_not_yet_a_server(own_home: Path) -> None:
    """PostgreSQL writes the negative of its process id while it fills a new data folder."""
    data = own_home / "postgres"
    data.mkdir(parents=True)
    (data / "postmaster.pid").write_text(f"-{os.getpid()}\n{data}\n0\n5432\n{data}\n")
    assert embedded.status() is None


def test_a_home_with_a_long_path_gets_a_short_socket_folder(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENATION_HOME", str(own_home / ("deep" * 30)))
    url = embedded.start()
    match = re.search(r"host=([^&]+)", url)
    assert match is not None
    folder = Path(match.group(1))
    assert len(str(folder / ".s.PGSQL.5432")) < 100
    assert folder.stat().st_mode & 0o077 == 0
    psycopg2.connect(url.replace("+psycopg2", "")).close()
    assert embedded.stop()
    shutil.rmtree(folder)


def socket_folder(home: Path) -> Path:
    """The temporary folder that a home with a long path uses."""
    short = hashlib.sha256(os.fsencode(home.resolve() / "postgres")).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"venation-{os.getuid()}-{short}"


def make_open(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def make_link(folder: Path) -> None:
    folder.symlink_to(tempfile.gettempdir())


def make_foreign(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)


@pytest.mark.parametrize("make", [make_open, make_link, pytest.param(make_foreign, marks=as_root)])
def test_a_socket_folder_that_others_prepared_is_refused(
    make: Callable[[Path], None], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENATION_HOME", str(own_home / ("deep" * 30)))
    folder = socket_folder(embedded.home())
    make(folder)
    with pytest.raises(UserError, match=f"{folder} is not a folder that only this user may enter"):
        embedded.start()
    assert embedded.status() is None
    folder.unlink() if folder.is_symlink() else folder.rmdir()


@pytest.mark.usefixtures("_server")
def test_clients_are_no_superusers_and_own_their_tables() -> None:
    with closing(psycopg2.connect(embedded.start().replace("+psycopg2", ""))) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE mine (x integer)")
        cursor.execute("SELECT current_user, usesuper, usecreatedb FROM pg_user WHERE usename = current_user")
        assert cursor.fetchone() == ("venation", False, False)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("COPY mine FROM PROGRAM 'id'")


def test_what_a_superuser_made_in_an_earlier_version_is_given_to_the_user(own_home: Path) -> None:
    url = embedded.start()
    as_owner = url.replace("venation@", "postgres@")
    made = ("CREATE TYPE state AS ENUM ('on')", "CREATE TABLE old (id serial PRIMARY KEY, s state)")
    execute(as_owner, *made, "ALTER DATABASE venation OWNER TO postgres", "INSERT INTO old (s) VALUES ('on')")
    execute(as_owner.replace("/venation?", "/postgres?"), "DROP ROLE venation")
    assert embedded.start() == url
    execute(url, "INSERT INTO old (s) VALUES ('on')", "ALTER TYPE state ADD VALUE 'off'", "DROP TABLE old")


@as_root
@pytest.mark.usefixtures("_server")
def test_the_server_has_no_rights_of_root() -> None:
    running = embedded.status()
    assert running is not None
    status = Path(f"/proc/{running['pid']}/status").read_text()
    ids = {line.split(":")[0]: line.split(":")[1].split() for line in status.splitlines()}
    assert "0" not in ids["Uid"] + ids["Gid"] + ids["Groups"]


@as_root
@pytest.mark.usefixtures("_server")
def test_another_user_of_the_machine_cannot_log_in(venation_home: Path) -> None:
    """Even if the socket can be reached."""
    url = embedded.start().replace("+psycopg2", "")
    folder = venation_home / "postgres"
    folder.chmod(0o711)
    (folder / ".s.PGSQL.5432").chmod(0o777)
    command = [str(binaries() / "psql"), url.replace("venation@", "postgres@"), "-c", "SELECT 1"]
    found = subprocess.run(command, user=NOBODY, extra_groups=[], capture_output=True, text=True, cwd="/")
    folder.chmod(0o700)
    assert found.returncode != 0 and "Peer authentication failed" in found.stderr


@as_root
def test_a_closed_folder_is_opened_for_searching_and_closed_again(
    own_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_home.mkdir()
    own_home.chmod(0o750)
    embedded.start()
    assert own_home.stat().st_mode & 0o777 == 0o751
    assert f"other users may pass through {own_home}, but not list it" in caplog.text
    assert embedded.start() and caplog.text.count("may pass") == 1
    embedded.stop()
    assert own_home.stat().st_mode & 0o777 == 0o750


def test_the_server_follows_no_link_in_its_folder(own_home: Path) -> None:
    """The folder belongs to the server's user, and root writes into it."""
    embedded.start()
    embedded.stop()
    mine = own_home / "mine"
    mine.write_text("mine")
    (own_home / "postgres" / "venation.conf").unlink()
    (own_home / "postgres" / "venation.conf").symlink_to(mine)
    embedded.start()
    assert mine.read_text() == "mine"


def test_home_is_the_given_folder_or_raises_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "new" / "home"))
    assert embedded.home() == (tmp_path / "new" / "home").resolve()
    assert embedded.status() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(UserError, match="set VENATION_HOME"):
        embedded.home()
    monkeypatch.delenv("VENATION_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert embedded.home().name == "venation"


def test_a_data_folder_of_another_version_raises_one_line(own_home: Path) -> None:
    data = own_home / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(UserError, match="cannot set up.*version 9.*VENATION_HOME") as caught:
        embedded.start()
    assert "\n" not in str(caught.value)
