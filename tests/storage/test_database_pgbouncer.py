"""Workers behind a real PgBouncer, set up as in docs/how-to/scale.md."""

import configparser
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import create_engine, make_url, text
from study_helpers import DEADLINE_S, Pause, StudyHarness, WorkerProcess

from venation.errors import UserError
from venation.leases.budget import count_states
from venation.storage.artifacts import Artifacts
from venation.storage.database import init_db, open_storage, study_lock
from venation.studies.registry import open_study

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer is not installed")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "scale.md"
WORK = """
import sys
sys.argv = ["venation", *{arguments!r}]
from venation.cli import app
app()
"""
HOLD = """
import sys
from venation.storage.database import open_storage, study_lock
with study_lock(open_storage(sys.argv[1]), 7):
    print("held", flush=True)
    sys.stdin.readline()
"""


class Pooler:
    """A PgBouncer with the configuration of the page and the changes of a test."""

    def __init__(self, server: str, folder: Path) -> None:
        self._server = make_url(server)
        self._folder = folder
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the database through the pooler."""
        return f"postgresql://{self._server.username}:simple@127.0.0.1:{self._port}/{self._server.database}"

    def start(self, **changes: str | None) -> str:
        """Start the pooler and wait until it listens; a setting of None is removed."""
        self._configure(changes)
        command = ["pgbouncer"]
        if os.getuid() == 0:
            # PgBouncer refuses to run as root; the embedded server's user may use the server's
            # socket.
            owner = pwd.getpwuid(Path(str(self._server.query["host"])).stat().st_uid)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
            command += ["-u", owner.pw_name]
        self._process = subprocess.Popen([*command, str(self._folder / "pgbouncer.ini")], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE_S
        while not self._listens():
            assert self._process.poll() is None and time.monotonic() < deadline, "it does not listen"
            time.sleep(0.02)
        return self.url

    def stop(self) -> None:
        """Kill the pooler and every connection."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _configure(self, changes: dict[str, str | None]) -> None:
        blocks = re.findall(r"```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
        config = configparser.ConfigParser(interpolation=None)
        config.read_string(blocks[0])
        server = self._server
        config["databases"] = {"*": f"host={server.query['host']} port={server.query['port']}"}  # the socket's folder
        places = {"auth_file": "userlist.txt", "logfile": "log", "pidfile": "pid"}
        own = {key: str(self._folder / name) for key, name in places.items()}
        own |= {"listen_addr": "127.0.0.1", "listen_port": str(self._port), "unix_socket_dir": ""}
        config["pgbouncer"].update(own | {key: value for key, value in changes.items() if value is not None})
        for key in (key for key, value in changes.items() if value is None):
            del config["pgbouncer"][key]
        (self._folder / "userlist.txt").write_text(f'"{server.username}" "simple"\n')
        with (self._folder / "pgbouncer.ini").open("w") as handle:
            config.write(handle)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def pooler(postgres_url: str) -> Iterator[Pooler]:
    """A PgBouncer in front of the test's database, not started."""
    with tempfile.TemporaryDirectory(prefix="vp") as folder:
        made = Pooler(postgres_url, Path(folder))
        yield made
        made.stop()


def locks(url: str) -> int:
    """Count the advisory locks of the database, without the pooler."""
    engine = create_engine(url)
    with engine.connect() as connection:
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        found = connection.scalar(text(f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {here}"))
    engine.dispose()
    return int(found or 0)


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_worker_runs_its_trials_through_it(
    mode: str, pooler: Pooler, postgres_url: str, artifacts: Artifacts, leaves: Path
) -> None:
    storage = open_storage(pooler.start(pool_mode=mode, default_pool_size="4"))
    harness = StudyHarness(storage, artifacts, leaves)
    handle = harness.create(trials=2)
    assert harness.work(handle) == 2
    assert [trial.state for trial in handle.study.get_trials()] == [TrialState.COMPLETE] * 2
    assert locks(postgres_url) == 0
    storage.engine.dispose()


def test_more_workers_than_connections_claim_every_trial_once(
    pooler: Pooler, harness: StudyHarness, artifacts: Artifacts, leaves: Path, no_hang: None
) -> None:
    """The lock's owner needs no second connection: the workers that wait have them all."""
    url = pooler.start(default_pool_size="2")
    handle = harness.create(trials=12)

    def end_some(_: int) -> None:
        own = open_storage(url)
        mine = StudyHarness(own, artifacts, leaves)
        for _ in range(2):
            mine.end_next(open_study(own, "soy"), TrialState.COMPLETE, 0.5)
        own.engine.dispose()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(end_some, range(6)))
    assert count_states(handle) == {TrialState.COMPLETE: 12}


def test_first_starts_at_once_leave_no_lock_behind(pooler: Pooler, postgres_url: str) -> None:
    url = pooler.start(default_pool_size="8")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(init_db, [url] * 4))
    # The pooler keeps server connections, and with them session locks that only a session's end
    # releases.
    assert locks(postgres_url) == 0


def test_the_lock_of_a_killed_process_is_released(pooler: Pooler, postgres_url: str) -> None:
    url = pooler.start()
    storage = open_storage(url)
    command = [sys.executable, "-c", HOLD, url]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
    assert holder.stdout is not None and holder.stdout.readline() == "held\n" and locks(postgres_url) == 1
    holder.kill()
    holder.communicate()
    with study_lock(storage, 7, timeout_s=30):
        pass
    storage.engine.dispose()


def test_a_worker_survives_a_restart_of_the_pooler(
    pooler: Pooler,
    harness: StudyHarness,
    artifacts: Artifacts,
    pause_at: Callable[[int], Pause],
    start_python: Callable[[str], WorkerProcess],
) -> None:
    handle = harness.create(settings={"train.epochs": 2}, heartbeat=1.0)
    pause = pause_at(1)
    places = ["--device", "cpu", "--storage", pooler.start(), "--artifacts", str(artifacts.folder)]
    worker = start_python(WORK.format(arguments=["worker", "soy", "--until-idle", *places]))
    pause.wait(worker)
    pooler.stop()
    pause.release()
    pooler.start()
    assert worker.wait() == 0, worker.log.read_text()
    assert [trial.state for trial in handle.study.get_trials()] == [TrialState.COMPLETE]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"ignore_startup_parameters": None}, "ignore_startup_parameters = options"),
        ({"max_client_conn": "0"}, "raise max_client_conn"),
    ],
)
def test_an_unsupported_setting_is_a_one_line_error(pooler: Pooler, setting: dict[str, str | None], says: str) -> None:
    url = pooler.start(**setting)
    with pytest.raises(UserError, match=says) as caught:
        open_storage(url)
    assert "\n" not in str(caught.value) and "simple" not in str(caught.value)


def test_optunas_grpc_proxy_is_refused() -> None:
    with pytest.raises(UserError, match="grpc cannot hold studies; give postgresql://"):
        open_storage("grpc://localhost:13000")


def test_a_role_sets_the_options_that_the_pooler_drops(pooler: Pooler, storage: RDBStorage) -> None:
    """The page's statements set the options that a worker otherwise sets when it connects."""
    statements = re.findall(r"^ALTER ROLE venation (SET .+);$", PAGE.read_text(), re.MULTILINE)
    wanted = ("TimeZone", "statement_timeout", "idle_in_transaction_session_timeout")
    with storage.engine.begin() as connection:
        straight = [connection.scalar(text(f"SELECT current_setting('{name}')")) for name in wanted]
        database = connection.scalar(text("SELECT current_database()"))
        for statement in statements:
            # For this database only: other tests share the role.
            connection.execute(text(f"ALTER ROLE CURRENT_USER IN DATABASE {database} {statement}"))
    pooled = open_storage(pooler.start())
    with pooled.engine.connect() as connection:
        assert [connection.scalar(text(f"SELECT current_setting('{name}')")) for name in wanted] == straight
    pooled.engine.dispose()
