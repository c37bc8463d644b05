"""A study deleted before any statement of a worker or command is a one-line error."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState
from small_bundle import EXPECTED_FAILURE, venation
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import IntegrityError, OperationalError
from study_helpers import DEADLINE_S, StudyHarness

from venation.errors import UserError
from venation.leases.budget import count_states, unless_deleted
from venation.leases.claim import claim
from venation.leases.lease import Lease
from venation.leases.promotion import promote_or_pause
from venation.storage.attributes import CONFIG
from venation.storage.database import open_storage, study_lock
from venation.studies.context import StudyContext
from venation.studies.delete import OF_STUDIES, OF_TRIALS, delete_rows
from venation.studies.registry import delete_study, open_study
from venation.workers import worker
from venation.workers.objective import Result
from venation.workers.reporting import TrialReporter

# Delete before every STRIDE-th statement; 1 tries all of them and takes minutes.
STRIDE = int(os.environ.get("VENATION_DELETE_STRIDE", "31"))


DELETED = "study `soy` was deleted; start the worker without it, or create it again."


class Deletion:
    """Deletes all studies before the ``at``-th statement of other engines, or soon after it."""

    def __init__(self, url: str, at: int) -> None:
        self.engine = create_engine(url, connect_args={"options": "-c lock_timeout=20"})
        self.done = False
        self._left = at

    def __call__(self, connection: Connection, *_: Any) -> None:
        if connection.engine is self.engine:
            return
        self._left -= 1
        if self.done or self._left > 0:
            return
        try:
            with self.engine.begin() as own:
                for study in own.scalars(text("SELECT study_id FROM studies")).all():
                    delete_rows(own, study)
            self.done = True
        except OperationalError:
            pass  # another session has locked a row of the study: try before the next statement


@contextmanager
def deleted_before(at: int, url: str) -> Iterator[Deletion]:
    deletion = Deletion(url, at)
    event.listen(Engine, "before_cursor_execute", deletion)
    try:
        yield deletion
    finally:
        event.remove(Engine, "before_cursor_execute", deletion)
        deletion.engine.dispose()


def cheap_trial(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> Result:
    """Do the database work of a trial, without training."""
    TrialReporter(context, lease, last=9)({"accuracy": 0.5}, 0)
    lease.trial.suggest_float("train.lr", 1e-4, 1e-2)
    CONFIG.set(lease.trial, {})
    promote_or_pause(lease, 1)
    between_epochs()
    return Result(0.5, {"accuracy": 0.5}, ())


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "run_trial", cheap_trial)
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_worker_names_the_deleted_study_at_every_statement(
    harness: StudyHarness, postgres_url: str, pruner: str
) -> None:
    options = {"trials": 2, "pruner": pruner, "settings": {"train.epochs": 3}}
    errors, at, done = set(), 1, True
    while done:
        context = harness.context(harness.create(**options))
        with deleted_before(at, postgres_url) as deletion:
            try:
                worker.work([context], until_idle=True)
            except UserError as error:
                errors.add(str(error))
        at, done = at + STRIDE, deletion.done
    assert at > 2 * STRIDE and errors == {DELETED}


def test_a_worker_that_starts_names_the_deleted_study(harness: StudyHarness, postgres_url: str) -> None:
    at, done = 1, True
    while done:
        handle = harness.create()
        with deleted_before(at, postgres_url) as deletion:
            try:
                harness.context(open_study(harness.storage, "soy"), data=harness.data)
            except UserError as error:
                assert str(error) == DELETED or "`soy` does not exist" in str(error)
        at, done = at + 1, deletion.done
    assert at > 4
    with pytest.raises(KeyError), unless_deleted(handle):
        raise KeyError("a bug")


def test_a_base_deleted_by_another_tool_is_named(harness: StudyHarness) -> None:
    soy, veins = harness.create(), harness.create("veins", "decoder", base="soy")
    with pytest.raises(UserError, match="`soy` is the base of `veins`; delete that one first"):
        delete_study(harness.storage, "soy", harness.artifacts)
    context = harness.context(veins)
    with study_lock(harness.storage, soy.id) as connection:
        assert delete_rows(connection, soy.id)
    with pytest.raises(UserError, match="study `soy` does not exist; the studies are: veins"):
        worker.work([context])
    with pytest.raises(UserError, match="base study `soy` of `veins` was deleted"), unless_deleted(veins):
        soy.study.get_trials()


def test_the_other_studies_continue(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    soy, say = harness.create(trials=2), harness.create("say", trials=2)

    def delete_first(context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> Result:
        if context.handle.study.study_name == "soy":
            delete_study(harness.storage, "soy", harness.artifacts)
            raise KeyError("an effect of the deletion")
        return cheap_trial(context, lease, between_epochs)

    monkeypatch.setattr(worker, "run_trial", delete_first)
    with pytest.raises(UserError, match=DELETED):
        harness.work(soy, say)
    assert count_states(say) == {TrialState.COMPLETE: 2}


COMMANDS = [
    ("study", "list"),
    ("study", "show", "soy"),
    ("study", "best", "soy"),
    ("study", "pareto", "soy"),
    ("study", "resume", "soy"),
    ("study", "delete", "soy", "--yes"),
    ("trial", "why", "soy", "0"),
    ("trial", "logs", "soy", "0"),
    ("study", "simulate", "soy"),
    ("artifacts", "verify", "soy"),
    ("worker", "reap", "--once"),
    ("db", "doctor"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_whose_study_is_deleted_meanwhile_fails_in_one_line(
    harness: StudyHarness, postgres_url: str, command: tuple[str, ...]
) -> None:
    places = ["--storage", postgres_url]
    if {"artifacts", "delete", "logs", "doctor"} & set(command):
        places += ["--artifacts", str(harness.artifacts.folder)]
    at, done = 1, True
    while done:
        handle = harness.create(trials=2)
        harness.end_next(handle, TrialState.FAIL)
        harness.end_next(handle, TrialState.COMPLETE, 0.5)
        with deleted_before(at, postgres_url) as deletion:
            result = venation(*command, *places)
        lines = result.stderr.splitlines()
        if command[0] != "db" and result.exit_code:
            assert result.exit_code == EXPECTED_FAILURE and len(lines) == 1, result.output
            assert lines[0].startswith("Error: ") and ("deleted" in lines[0] or "`soy`" in lines[0]), lines
        at, done = at + STRIDE, deletion.done
        with harness.storage.engine.begin() as connection:
            delete_rows(connection, handle.id)


def test_a_deletion_leaves_no_row_of_the_study_in_any_table(harness: StudyHarness) -> None:
    referring: dict[str, set[str]] = {"studies": set(), "trials": set()}
    for table in models.BaseModel.metadata.sorted_tables:
        for key in table.foreign_keys:
            referring[key.column.table.name].add(table.name)
    assert referring == {"studies": set(OF_STUDIES), "trials": set(OF_TRIALS)}
    handle = harness.create("say", trials=2)
    harness.create()
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    assert delete_study(harness.storage, "say", harness.artifacts) > 0
    assert [study.study_name for study in harness.storage.get_all_studies()] == ["soy"]
    with harness.storage.engine.connect() as connection:
        assert not delete_rows(connection, handle.id)
        assert connection.scalar(text("SELECT count(*) FROM trials")) == 1


def test_a_deletion_waits_for_running_writes_and_prevents_later_ones(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    other = open_storage(postgres_url)
    report = "INSERT INTO trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)"
    with ThreadPoolExecutor(1) as pool:
        with other.engine.begin() as connection:
            connection.execute(text(f"{report} VALUES ({lease.trial_id}, 0, 0.5, 'FINITE')"))
            deletion = pool.submit(delete_study, harness.storage, "soy", harness.artifacts)
            waits_for_a_lock(other)
        assert deletion.result(60) > 0
    with pytest.raises(IntegrityError), other.engine.begin() as connection:
        connection.execute(text(f"{report} VALUES ({lease.trial_id}, 1, 0.5, 'FINITE')"))
    other.engine.dispose()


def waits_for_a_lock(storage: RDBStorage) -> None:
    """Return once a session of the database waits for another."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + DEADLINE_S
    with storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.scalar(waiting):
            assert time.monotonic() < deadline
