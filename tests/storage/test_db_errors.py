"""A PostgreSQL server with passwords: refusals are one line, and no output has the password."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import optuna
import pytest
from locked_server import OWNER_PASSWORD, LockedServer, locked_server
from optuna.trial import TrialState
from small_bundle import CLASSIFIER, EXPECTED_FAILURE, refuse, succeed
from study_helpers import StudyHarness, WorkerProcess

from venation.leases.claim import claim
from venation.redaction import redact
from venation.storage.attributes import PROVENANCE
from venation.storage.database import open_storage
from venation.storage.urls import hide_passwords

WRONG = "not it @ all/%41"
SPELLINGS = (WRONG, quote(WRONG, safe=""), OWNER_PASSWORD, quote(OWNER_PASSWORD, safe=""), "not it", "pass@word")

COMMANDS = [
    ("db", "init"),
    ("db", "status"),
    ("db", "doctor"),
    ("study", "create", "soy", "--kind", "classifier", "--data", "nowhere"),
    ("study", "list"),
    ("worker", "soy"),
    ("worker", "reap", "--once"),
    ("artifacts", "verify"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LockedServer]:
    with locked_server() as server:
        server.sql(
            "CREATE ROLE guest LOGIN PASSWORD 'a'",
            "CREATE ROLE reader LOGIN PASSWORD 'r'",
            "CREATE ROLE half LOGIN PASSWORD 'h'",
            *(f"CREATE DATABASE {name}" for name in ("empty", "closed", "lab")),
            "REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
        )
        succeed("db", "init", "--storage", server.url(database="lab"))
        grants = ("SELECT ON ALL TABLES IN SCHEMA public TO reader", "SELECT ON alembic_version TO half")
        server.sql(*(f"GRANT {grant}" for grant in grants), database="lab")
        yield server


@pytest.fixture
def harness(server: LockedServer, artifacts: object, leaves: Path) -> Iterator[StudyHarness]:
    """Yield a harness on the owner's database, and delete its studies afterwards."""
    storage = open_storage(server.url(database="lab"))
    yield StudyHarness(storage, artifacts, leaves)  # type: ignore[arg-type]
    for name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)
    storage.engine.dispose()


def leaked_secrets(text: str) -> list[str]:
    return [secret for secret in SPELLINGS if secret in text]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_password_is_reported_in_one_line_without_the_password(
    server: LockedServer, command: tuple[str, ...]
) -> None:
    says = ("owner:***@127.0.0.1", 'password authentication failed for user "owner"; correct the password')
    line = refuse(EXPECTED_FAILURE, *command, "--storage", server.url(password=WRONG), says=says)
    assert not leaked_secrets(line)


def refusals(server: LockedServer) -> list[tuple[str, str]]:
    """Return URLs that do not work, and the expected message of each."""
    right, local = server.url(), f"127.0.0.1:{server.port}"
    two = f"postgresql://owner:{quote(WRONG, safe='')}@/postgres?host=127.0.0.1,127.0.0.1&port=1,{server.port}"
    return [
        (server.url(user="nobody"), 'failed for user "nobody"; correct the password .* or the user'),
        (f"postgresql://owner@{local}/postgres", "no password supplied; correct the password"),
        (f"postgresql://owner@{local}/postgres?password={quote(WRONG, safe='')}", "failed for user"),
        (f"{right}?password=1&password={quote(WRONG, safe='')}", "failed for user"),
        (two, 'failed for user "owner"; correct the password'),
        (f"postgresql://owner:pass@word@{local}/postgres", "cannot be read; .* %40 for @"),
        (server.url(database="nothing"), 'database "nothing" does not exist; create it'),
        (right.replace("127.0.0.1", "no_such..host"), 'host name "no_such..host".*; start the server, or correct'),
        (right.replace(f":{server.port}/", ":1/"), "Connection refused; start the server, or correct --storage"),
        (right.replace(f":{server.port}/", ":99999/"), 'invalid port number: "99999".*; correct the URL'),
        (f"{right}?sslmode=require", "server does not support SSL"),
        (f"{right}?flavour=sweet", 'invalid connection option "flavour".*; correct the URL'),
        (server.url("guest", "a", "closed"), 'permission denied for database "closed"; GRANT the user CONNECT'),
        (server.url("guest", "a", "empty"), "permission denied for schema public; grant the user the right to create"),
        (server.url("guest", "a", "lab"), "permission denied for table alembic_version; .*GRANT the user a role"),
    ]


def test_other_connection_errors_are_named_with_advice(server: LockedServer) -> None:
    for url, says in refusals(server):
        line = refuse(EXPECTED_FAILURE, "db", "init", "--storage", url, says=())
        assert re.search(says, line), line
        assert not leaked_secrets(line)


def test_a_password_from_a_file_works_and_a_wrong_one_is_not_shown(
    server: LockedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://owner@127.0.0.1:{server.port}/lab"
    monkeypatch.setenv("VENATION_STORAGE", url)
    monkeypatch.setenv("VENATION_STORAGE_PASSWORD_FILE", str(tmp_path / "secret"))
    (tmp_path / "secret").write_text(WRONG + "\n")
    line = refuse(EXPECTED_FAILURE, "study", "list", says=("correct the password", "VENATION_STORAGE_PASSWORD_FILE"))
    assert not leaked_secrets(line)
    (tmp_path / "secret").write_text(OWNER_PASSWORD + "\n")
    succeed("study", "list")


def test_no_help_shows_the_url(server: LockedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VENATION_STORAGE", server.url())
    for command in COMMANDS:
        shown = succeed(*(command[:1] if command == ("worker", "soy") else command[:2]), "--help")
        assert "VENATION_STORAGE" in shown and not leaked_secrets(shown) and "127.0.0.1:" not in shown


def test_a_worker_stores_and_logs_no_password(
    harness: StudyHarness, server: LockedServer, start_python: Callable[[str], WorkerProcess]
) -> None:
    handle = harness.create()
    command = ["venation", "worker", "soy", "--until-idle", "--device", "cpu", "--storage", server.url(database="lab")]
    command += ["--artifacts", str(harness.artifacts.folder)]
    code = f"import sys; sys.argv = {command!r}\nfrom venation.cli import app\napp()"
    worker = start_python(code)
    assert worker.wait() == 0, worker.log.read_text()
    (trial,) = handle.study.get_trials()
    assert trial.state == TrialState.COMPLETE and "***" in str(PROVENANCE.need(trial))
    output = worker.log.read_text() + json.dumps([trial.user_attrs, trial.system_attrs, handle.study.user_attrs])
    assert not leaked_secrets(output)
    stored = [path.read_bytes() for path in harness.artifacts.folder.rglob("*") if path.is_file()]
    assert stored and not leaked_secrets("".join(content.decode("latin-1") for content in stored))


def test_a_traceback_shows_no_password(
    harness: StudyHarness, server: LockedServer, start_python: Callable[[str], WorkerProcess]
) -> None:
    harness.create()
    command = ["venation", "worker", "soy", "--device", "cpu", "--storage", server.url(database="lab")]
    command += ["--artifacts", str(harness.artifacts.folder)]
    worker = start_python(
        "from venation.workers import worker\n"
        "def bug(context, *_):\n"
        "    from sqlalchemy import create_engine\n"
        "    raise ZeroDivisionError(repr(create_engine(context.handle.storage.url)))\n"
        f"worker.run_trial = bug\nimport sys; sys.argv = {command!r}\nfrom venation.cli import app\napp()"
    )
    assert worker.wait() == 1
    assert "Traceback" in worker.log.read_text() and not leaked_secrets(worker.log.read_text())


@pytest.mark.parametrize(("user", "password"), [("reader", "r"), ("half", "h")])
@pytest.mark.parametrize(
    "command",
    [
        ("study", "create", "bean", "--kind", "classifier", *CLASSIFIER),
        ("worker", "soy"),
        ("study", "delete", "soy", "--yes"),
        ("study", "resume", "soy"),
        ("worker", "reap", "--once"),
    ],
    ids=" ".join,
)
def test_a_read_only_user_is_refused_and_changes_nothing(
    harness: StudyHarness, server: LockedServer, command: tuple[str, ...], user: str, password: str
) -> None:
    handle = harness.create(heartbeat=0.1)
    claim(handle, max_losses=3)
    harness.silence()
    data = ("--data", str(harness.data)) if command[1] == "create" else ()
    url = server.url(user, password, "lab")
    line = refuse(EXPECTED_FAILURE, *command, *data, "--storage", url, says=("GRANT",))
    assert (
        "may not write all that a worker writes" in line or "the database refuses (permission denied for table" in line
    )
    assert optuna.get_all_study_names(harness.storage) == ["soy"]
    (trial,) = handle.study.get_trials()
    assert trial.state == TrialState.RUNNING


def test_a_user_without_create_rights_creates_no_tables(server: LockedServer) -> None:
    refuse(EXPECTED_FAILURE, "db", "init", "--storage", server.url("guest", "a", "empty"), says=("create tables",))
    assert "schema" in succeed("db", "status", "--storage", server.url(database="empty"))
    server.sql("GRANT CREATE ON SCHEMA public TO guest", database="empty")
    succeed("db", "init", "--storage", server.url("guest", "a", "empty"))


def test_redaction_of_short_passwords_leaves_messages_intact() -> None:
    message = 'permission denied for database "closed"'
    for password in ("e", "closed", "or", "d", "postgres"):
        assert hide_passwords(message, f"postgresql://closed:{password}@postgres/closed") == message
    assert (
        hide_passwords("failed: s3 cr%2Ft s3cr%2Ft s3cr/t.", "postgresql://u:s3cr%2Ft@h/d")
        == "failed: s3 cr%2Ft *** ***."
    )
    assert redact("postgresql://u:pass@word@h/d") == "***"
