"""Restarts of the server during a trial: the embedded server and the system's."""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from locked_server import locked_server, system_programs
from optuna.trial import TrialState
from sqlalchemy import text
from study_helpers import DEADLINE_S, StudyHarness, WorkerProcess

from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.leases.history import attempts
from venation.leases.reaper import reap
from venation.storage import embedded
from venation.storage.artifacts import Artifacts
from venation.storage.attributes import LOSSES
from venation.storage.database import open_storage

_COMMAND = """
sys.argv = ["venation", "worker", "soy", "--until-idle", "--device", "cpu", "--storage", {url!r}, "--artifacts", {to!r}]
from venation.cli import app
app()
"""
_BEATS = text("SELECT count(*) FROM trial_heartbeats WHERE heartbeat > timezone('utc', pg_postmaster_start_time())")


class Server(NamedTuple):
    """A database server for one test."""

    url: str
    stop: Callable[[], object]
    start: Callable[[], object]


@pytest.fixture(params=["embedded", "system"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    if request.param == "system":
        programs = system_programs()
        if programs is None:
            pytest.skip("no PostgreSQL of the system's own: install Debian's package postgresql")
        with locked_server(programs) as locked:
            yield Server(locked.url(), locked.stop, locked.start)
        return
    folder = Path(tempfile.mkdtemp(prefix="vn")).resolve()
    monkeypatch.setenv("VENATION_HOME", str(folder))
    yield Server(embedded.start(), embedded.stop, embedded.start)
    embedded.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own(server: Server, artifacts: Artifacts, leaves: Path) -> Iterator[StudyHarness]:
    """A harness with the test's server."""
    storage = open_storage(server.url)
    yield StudyHarness(storage, artifacts, leaves)
    storage.engine.dispose()


def test_a_server_restart_loses_neither_worker_nor_epochs(
    own: StudyHarness, server: Server, start_python: Callable[[str], WorkerProcess]
) -> None:
    handle = own.create(trials=2, heartbeat=0.5, settings={"train.epochs": 20})
    worker = start_python(_COMMAND.format(url=server.url, to=str(own.artifacts.folder)))
    worker.wait_until(lambda: len(handle.study.trials[0].intermediate_values) > 1)
    server.stop()
    worker.wait_until(lambda: "the database has not answered" in worker.log.read_text())
    server.start()
    assert worker.wait() == 0, worker.log.read_text()
    assert count_states(handle) == {TrialState.COMPLETE: 2}
    trial = handle.study.get_trials()[0]
    past = attempts(trial)
    assert {attempt["end"] for attempt in past} == {"database", "complete"}
    assert LOSSES.key not in trial.system_attrs
    log = worker.log.read_text()
    assert log.count("trial 0: resumed") == len(past) - 1
    for attempt in past[:-1]:
        repeated = log.count(f"trial 0: epoch {attempt['epochs']}/20")
        assert repeated <= 1, "an epoch whose checkpoint was kept is not run again"
    assert log.count("trial 0: epoch ") <= 20 + len(past) - 1


def test_the_heartbeat_resumes_after_a_server_restart(own: StudyHarness, server: Server) -> None:
    handle = own.create(heartbeat=0.1)
    lease = claim(handle, max_losses=3)
    assert lease is not None
    with lease:
        server.stop()
        threading.Event().wait(handle.spec.grace)
        server.start()
        assert reap(handle, max_losses=3) == [], "the silence was the server's"
        deadline = threading.Event()
        timer = threading.Timer(DEADLINE_S, deadline.set)
        timer.start()
        with own.storage.engine.connect() as connection:
            while not connection.scalar(_BEATS):
                connection.rollback()
                assert not deadline.is_set()
        timer.cancel()
        lease.end(TrialState.COMPLETE, 0.5)
    assert [attempt["end"] for attempt in attempts(handle.study.get_trials()[0])] == ["complete"]
