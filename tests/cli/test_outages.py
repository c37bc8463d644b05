"""A database connection lost during a command: a one-line error, tested on a real server."""

import optuna
import pytest
from optuna.storages import RDBStorage
from small_bundle import EXPECTED_FAILURE, refuse, venation
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from venation.workers import worker_status

_CUT = """
CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END';
CREATE TRIGGER cut BEFORE INSERT ON studies FOR EACH ROW EXECUTE FUNCTION cut()
"""
MESSAGE = ("the database went away (", "; see `venation db status`, then try again.")


def cut_statement(storage: RDBStorage) -> None:
    """Terminate the session during a statement of Venation."""
    with storage.engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def cut_optuna(storage: RDBStorage) -> None:
    """Terminate the session during a statement of Optuna."""
    with storage.engine.begin() as connection:
        connection.execute(text(_CUT))
    storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE])


@pytest.mark.parametrize("cut", [cut_statement, cut_optuna])
def test_a_lost_database_is_a_one_line_error(postgres_url: str, monkeypatch: pytest.MonkeyPatch, cut: object) -> None:
    monkeypatch.setattr(worker_status, "list_workers", cut)
    refuse(EXPECTED_FAILURE, "worker", "list", "--storage", postgres_url, says=MESSAGE)


def test_a_wrong_statement_is_not_reported_as_an_outage(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def misspell(storage: RDBStorage) -> None:
        with storage.engine.connect() as connection:
            connection.execute(text("SELECT * FROM trails"))

    monkeypatch.setattr(worker_status, "list_workers", misspell)
    with pytest.raises(ProgrammingError):
        venation("worker", "list", "--storage", postgres_url)
