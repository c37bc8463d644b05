"""The database: URLs, messages without passwords, concurrent initialisation, locks, reconnects."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import psycopg2
import pytest
from sqlalchemy import create_engine, text

from venation.errors import UserError
from venation.redaction import redact
from venation.storage import database, embedded
from venation.storage.server_status import server_status

HOLDER = """
import os, sys
from venation.storage.database import open_storage, study_lock
storage = open_storage(os.environ["TEST_URL"])
with study_lock(storage, 7):
    print("held", flush=True)
    sys.stdin.readline()
print("freed", flush=True)
sys.stdin.readline()
"""


def run_sql(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def holder(url: str) -> subprocess.Popen[str]:
    """Start a process that holds the lock of study 7 until it reads a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TEST_URL": url},
        cwd=tempfile.gettempdir(),
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_eight_concurrent_initialisations_succeed(postgres_url: str) -> None:
    barrier = threading.Barrier(8)

    def first_start(_: int) -> None:
        barrier.wait()
        database.init_db(postgres_url)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(first_start, range(8)))
    study = optuna.create_study(storage=database.cached(database.open_storage(postgres_url)))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len(study.trials) == 2


def test_opening_an_empty_database_creates_tables_and_names_the_sessions(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url, name="worker-3")
    with storage.engine.connect() as connection:
        assert connection.scalar(text("SELECT current_setting('application_name')")) == "worker-3"
        assert connection.scalar(text("SELECT current_setting('statement_timeout')")) == "1min"
    assert optuna.study.get_all_study_names(storage) == []


def test_heartbeats_can_be_set_without_a_warning(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url, heartbeat_interval=30, grace_period=180)
    assert (storage.heartbeat_interval, storage.grace_period) == (30, 180)


def test_a_storage_reconnects_after_all_its_connections_were_terminated(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url)
    study = optuna.create_study(storage=database.cached(storage), study_name="s")
    run_sql(
        postgres_url,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    study.tell(study.ask(), 1.0)
    assert study.best_value == 1.0


def test_a_study_lock_excludes_another_process_until_it_is_released(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url)
    process = holder(postgres_url)
    with pytest.raises(UserError, match="study 7 has been locked"), database.study_lock(storage, 7, timeout_s=0.05):
        pass
    with database.study_lock(storage, 8, timeout_s=5):
        pass
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "freed\n"
    with database.study_lock(storage, 7, timeout_s=5):
        pass
    process.communicate("\n", timeout=30)


def test_a_study_lock_is_freed_when_its_process_is_killed(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url)
    process = holder(postgres_url)
    process.kill()
    process.communicate()
    with database.study_lock(storage, 7, timeout_s=30):
        pass


def test_a_study_lock_is_freed_after_an_error_in_its_block(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url)
    with pytest.raises(KeyError), database.study_lock(storage, 7):
        raise KeyError
    with database.study_lock(storage, 7, timeout_s=5):
        pass


def test_read_modify_write_under_the_lock_loses_no_update(postgres_url: str) -> None:
    storage = database.open_storage(postgres_url)
    study = optuna.create_study(storage=storage)
    study.set_user_attr("count", 0)

    def add(_: int) -> None:
        mine = database.open_storage(postgres_url)
        with database.study_lock(mine, study._study_id):
            attrs = mine.get_study_user_attrs(study._study_id)
            mine.set_study_user_attr(study._study_id, "count", attrs["count"] + 1)
        mine.remove_session()
        mine.engine.dispose()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(12)))
    assert storage.get_study_user_attrs(study._study_id)["count"] == 12


def test_status_counts_studies_trials_and_connections(postgres_url: str) -> None:
    before = server_status(postgres_url)
    assert (before["schema"], before["studies"], before["trials"]) == (None, 0, {})
    storage = database.open_storage(postgres_url)
    study = optuna.create_study(storage=storage)
    study.tell(study.ask(), 1.0)
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    study.ask()
    status = server_status(postgres_url)
    assert (status["studies"], status["trials"]) == (1, {"complete": 1, "fail": 1, "running": 1})
    assert status["schema"] == "v3.2.0.a"
    assert status["version"].startswith("18.")
    assert status["connections"] >= 1 and status["max_connections"] == 200


@pytest.mark.parametrize(
    ("revision", "message"), [("v2.4.0.a", "older version.*optuna storage upgrade"), ("v9.0.0.a", "newer version")]
)
def test_tables_of_another_version_are_refused(postgres_url: str, revision: str, message: str) -> None:
    database.init_db(postgres_url)
    run_sql(postgres_url, f"UPDATE alembic_version SET version_num = '{revision}'")
    for open_it in (database.open_storage, database.init_db):
        with pytest.raises(UserError, match=message):
            open_it(postgres_url)


def test_another_programs_tables_are_refused(postgres_url: str) -> None:
    run_sql(postgres_url, "CREATE TABLE alembic_version AS SELECT '84d2' AS version_num")
    for open_it in (database.open_storage, database.init_db, server_status):
        with pytest.raises(UserError, match="another program's .revision 84d2.* create a database of their own"):
            open_it(postgres_url)


REFUSALS: list[tuple[Callable[[str], str], str]] = [
    (lambda url: "postgresql://user:s3cret@127.0.0.1:1/db", "Connection refused.*start the server"),
    (lambda url: url.replace("/test_", "/missing_"), "does not exist.*createdb"),
    (lambda url: url.replace("postgres@", "nobody:s3cret@"), "nobody"),
    (lambda url: "postgresql://user@127.0.0.1:1/db?password=s3cret", "Connection refused"),
]


@pytest.mark.parametrize(("change", "message"), REFUSALS)
def test_a_database_that_cannot_be_opened_is_one_line_without_the_password(
    postgres_url: str, change: Callable[[str], str], message: str
) -> None:
    for open_it in (database.open_storage, database.init_db, server_status):
        with pytest.raises(UserError, match=message) as caught:
            open_it(change(postgres_url))
        assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_password_is_reported_with_advice(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = psycopg2.OperationalError('FATAL:  password authentication failed for user "a" s3cret\n')

    def connect(*_: object, **__: object) -> None:
        raise refusal

    monkeypatch.setattr(psycopg2, "connect", connect)
    with pytest.raises(UserError, match=r"failed for user \"a\" \*\*\*; correct the password") as caught:
        database.open_storage("postgresql://a:s3cret@db/venation")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://u:s3cret@h/d", "postgresql+asyncpg://u:s3cret@h/d"])
def test_only_postgresql_urls_are_accepted(url: str) -> None:
    with pytest.raises(UserError, match="cannot hold studies; give postgresql://") as caught:
        database.resolve_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["venation", "postgresql://u:s3:cr@h:x/d", "postgresql://u:s3cret@h"])
def test_the_error_of_a_malformed_url_hides_the_password(url: str) -> None:
    with pytest.raises(UserError) as caught:
        database.resolve_url(url)
    assert "s3" not in str(caught.value)


def test_the_option_precedes_the_variable_and_the_embedded_server(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert database.resolve_url(None) == embedded.start()
    monkeypatch.setenv("VENATION_STORAGE", "postgres://u:p@host/d")
    assert database.resolve_url(None) == "postgresql+psycopg2://u:p@host/d"
    assert database.resolve_url("postgresql://u@other/d") == "postgresql+psycopg2://u@other/d"


def test_the_password_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p@ss/word\n")
    monkeypatch.setenv("VENATION_STORAGE_PASSWORD_FILE", str(secret))
    url = database.resolve_url("postgresql://u:old@host/d")
    assert url == "postgresql+psycopg2://u:p%40ss%2Fword@host/d"
    assert redact(url) == "postgresql+psycopg2://u:***@host/d"
    assert database.resolve_url(url) == url
    monkeypatch.setenv("VENATION_STORAGE_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="No such file"):
        database.resolve_url("postgresql://u@host/d")


def test_redact_hides_passwords_in_url_options_and_in_malformed_urls() -> None:
    assert "s3cret" not in redact("postgresql://u@h/d?password=s3cret&sslpassword=s3cret&sslmode=require")
    assert "sslmode=require" in redact("postgresql://u@h/d?password=s3cret&sslmode=require")
    assert redact("u:s3cret@h") == "***"
