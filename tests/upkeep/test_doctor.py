"""`venation db doctor`, and the refusal of a read-only user, on a real server."""

import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, refuse, rows, venation
from sqlalchemy import create_engine, text
from study_helpers import StudyHarness

from venation.errors import UserError
from venation.leases.claim import claim
from venation.storage.database import open_storage
from venation.storage.server_status import server_status
from venation.upkeep import doctor


def examine(storage: RDBStorage, *, workers: int = 2, places: dict[str, Path] | None = None) -> dict[str, Any]:
    return {row["check"]: row for row in doctor.examine(storage, workers=workers, places=places or {})}


def sql(storage: RDBStorage, *statements: str) -> None:
    with storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))


@pytest.fixture
def reader(storage: RDBStorage, postgres_url: str) -> Iterator[RDBStorage]:
    """Yield a storage of the same database, opened by a read-only user."""
    name = f"reader_{postgres_url.split('/test_')[1][:8]}"
    sql(storage, f"CREATE ROLE {name} LOGIN", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    opened = open_storage(postgres_url.replace("postgres@", f"{name}@"))
    yield opened
    opened.engine.dispose()
    sql(storage, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_healthy_database_has_no_bad_findings(storage: RDBStorage) -> None:
    found = examine(storage, places={"disk": Path("/")})
    assert set(found) == {
        *("schema", "rights", "durability", "clock", "connections", "records", "stale trials", "disk", "shared memory"),
    }
    # The tests' server runs without fsync, which is its only problem.
    assert {check for check, row in found.items() if row["verdict"] == "bad"} == {"durability"}
    assert "fsync = on" in found["durability"]["advice"]
    assert "v3.2.0.a" in found["schema"]["found"]


def test_more_workers_than_connections_are_reported(storage: RDBStorage) -> None:
    row = examine(storage, workers=1000)["connections"]
    assert row["verdict"] == "bad" and "2000" in row["found"] and "max_connections = " in row["advice"]
    with storage.engine.connect() as connection:
        limit = connection.scalar(text("SHOW max_connections"))
    assert f"of {limit} in use" in row["found"]


def test_a_running_trial_without_a_heartbeat_is_stale(storage: RDBStorage) -> None:
    study = optuna.create_study(study_name="alone", storage=storage)
    study.ask()
    # A study of another program has infinite grace: only a missing heartbeat is stale.
    assert examine(storage)["stale trials"]["verdict"] == "warn"
    storage.record_heartbeat(study.get_trials(states=(TrialState.RUNNING,))[0]._trial_id)
    assert examine(storage)["stale trials"] == {
        "check": "stale trials",
        "verdict": "ok",
        "found": "1 running, all alive",
        "advice": "",
    }


def test_a_clock_that_differs_from_the_servers_is_reported(
    storage: RDBStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.datetime.now().timestamp()
    monkeypatch.setattr(doctor.time, "time", lambda: now + 3600)
    row = examine(storage)["clock"]
    assert row["verdict"] == "warn" and "differ by 3" in row["found"] and "chrony" in row["advice"]


def test_a_full_disk_is_reported(storage: RDBStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(doctor, "_FREE_BYTES", free + 2**40)
    row = examine(storage, places={"disk": tmp_path})["disk"]
    assert row["verdict"] == "warn" and str(tmp_path) in row["found"] and "artifacts gc" in row["advice"]


def test_a_read_only_user_is_refused(storage: RDBStorage, reader: RDBStorage) -> None:
    doctor.check_rights(storage)
    assert examine(storage)["rights"]["verdict"] == "ok"
    assert examine(reader)["rights"]["verdict"] == "bad"
    with pytest.raises(UserError, match=r"user reader_\w+ may not write all that a worker writes; connect"):
        doctor.check_rights(reader)


def test_missing_rights_on_sequences_are_refused(storage: RDBStorage, reader: RDBStorage) -> None:
    user = reader.engine.url.username
    sql(storage, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}")
    with pytest.raises(UserError, match="GRANT the user a role"):
        doctor.check_rights(reader)
    sql(storage, f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}")
    doctor.check_rights(reader)
    optuna.create_study(storage=reader).ask()
    sql(storage, f"REVOKE DELETE ON trial_system_attributes FROM {user}")
    assert examine(reader)["rights"]["verdict"] == "bad"


def test_the_doctor_creates_no_tables(postgres_url: str) -> None:
    refuse(EXPECTED_FAILURE, "db", "doctor", "--storage", postgres_url, says=("no tables yet", "venation db init"))
    assert server_status(postgres_url)["schema"] is None
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) == 0
    engine.dispose()


def test_a_trial_is_stale_only_after_the_grace_period(harness: StudyHarness) -> None:
    assert claim(harness.create(heartbeat=60.0), max_losses=3) is not None
    for silence, verdict in (("11 minutes", "ok"), ("13 minutes", "warn")):
        harness.sql(
            f"UPDATE trial_heartbeats SET heartbeat = timezone('utc', clock_timestamp()) - interval '{silence}'"
        )
        assert examine(harness.storage)["stale trials"]["verdict"] == verdict


def test_a_read_only_server_is_refused(storage: RDBStorage, postgres_url: str) -> None:
    database = postgres_url.split("?")[0].rsplit("/", 1)[1]
    sql(storage, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    standby = open_storage(postgres_url)
    try:
        with pytest.raises(UserError, match="the server is read-only"):
            doctor.check_rights(standby)
    finally:
        standby.engine.dispose()


def test_the_command_lists_the_checks_and_fails_if_one_is_bad(storage: RDBStorage, postgres_url: str) -> None:
    result = venation("db", "doctor", "--storage", postgres_url, "--workers", "1")
    assert result.exit_code == EXPECTED_FAILURE
    assert "durability" in result.stdout and "fsync = on" in result.stdout


def test_a_read_only_user_can_list_but_not_create(reader: RDBStorage, leaves: Path) -> None:
    url = reader.engine.url.render_as_string(hide_password=False)
    assert rows("study", "list", "--storage", url) == []
    create = ("study", "create", "soy", "--kind", "classifier", "--data", leaves)
    for command in (create, ("worker", "soy"), ("study", "delete", "soy", "--yes")):
        refuse(EXPECTED_FAILURE, *command, "--storage", url, says=("may not write all that a worker writes", "GRANT"))
