"""Fixtures for studies and workers: leaves, a harness, processes, pauses and stubbed trials."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna
import pytest
import torch
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, text
from study_helpers import DEADLINE_S, Pause, StudyHarness, WorkerProcess

from venation.data.synthetic import write_leaves
from venation.leases.lease import Lease
from venation.storage.artifacts import Artifacts
from venation.storage.database import open_storage
from venation.storage.folder import FolderStore
from venation.studies.context import StudyContext
from venation.workers import worker
from venation.workers.objective import Result

TrialRun = Callable[[StudyContext, optuna.Trial, Callable[[], None]], float]

_TO_LOG = """
import sys
sys.stdout = sys.stderr = open({log!r}, "w", buffering=1)
"""
_COMMAND = """
sys.argv = ["venation", *{arguments!r}]
from venation.cli import app
app()
"""
# While a session holds advisory lock 42, a report of this step waits inside the database.
_PAUSE = """
CREATE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NEW; END';
CREATE TRIGGER pause BEFORE INSERT ON trial_intermediate_values
  FOR EACH ROW WHEN (NEW.step = {step}) EXECUTE FUNCTION pause()
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def no_hang() -> Iterator[None]:
    """Fail a test that hangs, for example in a deadlock."""

    def fail(_signum: int, _frame: object) -> None:
        raise AssertionError("the test hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(int(DEADLINE_S))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write three classes of twelve leaves with masks."""
    root = tmp_path_factory.mktemp("data") / "leaves"
    write_leaves(root, classes=3, images=12, size=64, seed=5)
    return root


@pytest.fixture
def storage(postgres_url: str) -> Iterator[RDBStorage]:
    """Open an empty database for one test."""
    storage = open_storage(postgres_url)
    yield storage
    storage.engine.dispose()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Return an empty artifact store in a folder."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    return FolderStore(folder)


@pytest.fixture
def harness(storage: RDBStorage, artifacts: Artifacts, leaves: Path) -> StudyHarness:
    """Return a harness on the test's database, its artifact store and the leaves."""
    return StudyHarness(storage, artifacts, leaves)


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[[str], WorkerProcess]]:
    """Return a function that runs Python code in a new process, with imports shared."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["venation.cli", "venation.workers.worker"])
    started: list[BaseProcess] = []

    def start(code: str) -> WorkerProcess:
        log = tmp_path / f"process-{len(started)}.log"
        process = context.Process(target=exec, args=(_TO_LOG.format(log=str(log)) + code,))
        process.start()
        started.append(process)
        return WorkerProcess(process, log)

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def start_worker(
    start_python: Callable[[str], WorkerProcess], postgres_url: str, artifacts: Artifacts
) -> Callable[..., WorkerProcess]:
    """Return a function that starts ``venation worker`` with the given arguments."""

    def start(*arguments: str) -> WorkerProcess:
        places = ["--device", "cpu", "--storage", postgres_url, "--artifacts", str(artifacts.folder)]
        return start_python(_COMMAND.format(arguments=["worker", *arguments, *places]))

    return start


@pytest.fixture
def pause_at(postgres_url: str, storage: RDBStorage) -> Iterator[Callable[[int], Pause]]:
    """Return a function that pauses every trial at the report of a step."""
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:

        def pause(step: int) -> Pause:
            connection.execute(text(_PAUSE.format(step=step)))
            connection.execute(text("SELECT pg_advisory_lock(42)"))
            return Pause(connection)

        yield pause
    engine.dispose()


@pytest.fixture
def trials_do(monkeypatch: pytest.MonkeyPatch) -> Callable[[TrialRun], None]:
    """Return a function that replaces ``run_trial`` by ``run(context, trial, check)``."""

    def let(run: TrialRun) -> None:
        def run_trial(context: StudyContext, lease: Lease, check: Callable[[], None]) -> Result:
            return Result(run(context, lease.trial, check), {}, ())

        monkeypatch.setattr(worker, "run_trial", run_trial)

    return let
