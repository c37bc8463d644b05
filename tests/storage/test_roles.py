"""The roles of the database: each can do its work, and PostgreSQL refuses the rest."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from optuna.trial import TrialState
from sql_helpers import execute
from sqlalchemy import make_url
from study_helpers import StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UserError
from venation.storage.database import init_db, open_storage
from venation.storage.roles import OWNER, VIEWER, WORKER
from venation.studies.registry import delete_study, open_study
from venation.upkeep.doctor import check_rights


@contextmanager
def user_of(harness: StudyHarness, role: str | None) -> Iterator[StudyHarness]:
    """Yield the harness with a storage that a user with ``role`` alone has opened."""
    url = harness.storage.engine.url.render_as_string(hide_password=False)
    user = f"user_{uuid.uuid4().hex[:12]}"
    execute(url, f"CREATE ROLE {user} LOGIN", *([f"GRANT {role} TO {user}"] if role else []))
    storage = open_storage(make_url(url).set(username=user).render_as_string(hide_password=False))
    try:
        yield replace(harness, storage=storage)
    finally:
        storage.engine.dispose()
        execute(url, f"DROP OWNED BY {user}", f"DROP ROLE {user}")


@pytest.fixture
def roles(harness: StudyHarness) -> tuple[str, ...]:
    return init_db(harness.storage.engine.url.render_as_string(hide_password=False), roles=True)


def test_a_worker_runs_trials_and_deletes_no_study(harness: StudyHarness, roles: tuple[str, ...]) -> None:
    assert roles == (VIEWER, WORKER, OWNER)
    harness.create("soy", trials=2)
    with user_of(harness, WORKER) as mine:
        check_rights(mine.storage)
        soy = open_study(mine.storage, "soy")
        assert mine.work(soy) == 2
        assert [trial.state for trial in soy.study.get_trials()] == [TrialState.COMPLETE] * 2
        for statement in (
            "DELETE FROM studies",
            "DELETE FROM trials",
            "DROP TABLE trials",
            "CREATE TABLE mine (a int)",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                execute(mine.storage.engine.url.render_as_string(hide_password=False), statement)


def test_a_viewer_reads_and_writes_nothing(harness: StudyHarness, roles: tuple[str, ...], tmp_path: Path) -> None:
    harness.create("soy")
    with user_of(harness, VIEWER) as mine:
        url = mine.storage.engine.url.render_as_string(hide_password=False)
        shown = CliRunner().invoke(app, ["study", "show", "soy", "--storage", url])
        assert shown.exit_code == 0, shown.output
        with pytest.raises(UserError, match="may not write all that a worker writes; .*a role of `venation db init"):
            check_rights(mine.storage)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(url, "UPDATE trials SET state = 'FAIL'")


def test_an_owner_makes_and_deletes_studies(harness: StudyHarness, roles: tuple[str, ...]) -> None:
    with user_of(harness, OWNER) as mine:
        soy = mine.create("soy")
        assert mine.work(soy) == 1
        delete_study(mine.storage, "soy", mine.artifacts)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            execute(mine.storage.engine.url.render_as_string(hide_password=False), "DROP TABLE trials")


def test_a_user_without_a_role_sees_nothing_and_makes_no_roles(harness: StudyHarness, roles: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="permission denied for table"), user_of(harness, None):
        pytest.fail("a user without a role opened the tables")
    with user_of(harness, WORKER) as mine:
        url = mine.storage.engine.url.render_as_string(hide_password=False)
        refused = CliRunner().invoke(app, ["db", "init", "--roles", "--storage", url])
        assert refused.exit_code != 0
        assert "may not create roles or give rights" in refused.output


def test_the_command_names_the_roles_and_may_be_repeated(harness: StudyHarness) -> None:
    url = harness.storage.engine.url.render_as_string(hide_password=False)
    for _ in range(2):
        done = CliRunner().invoke(app, ["db", "init", "--roles", "--storage", url])
        assert done.exit_code == 0, done.output
        assert "venation_viewer, venation_worker, venation_owner" in done.stderr
