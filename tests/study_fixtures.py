"""Three cultivars of twelve leaves, studies of seconds, workers as processes, and a trial that stops on demand."""

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
# While somebody holds advisory lock 42, whoever reports step N waits inside the database.
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
    """Fail what waits without end, such as for a lock that its own thread holds."""

    def fail(_signum: int, _frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(int(DEADLINE_S))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of twelve leaves with masks."""
    root = tmp_path_factory.mktemp("data") / "leaves"
    write_leaves(root, classes=3, images=12, size=64, seed=5)
    return root


@pytest.fixture
def storage(postgres_url: str) -> Iterator[RDBStorage]:
    """An empty database of the test's own."""
    storage = open_storage(postgres_url)
    yield storage
    storage.engine.dispose()


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """An empty artifact folder of the test's own."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    return FolderStore(folder)


@pytest.fixture
def harness(storage: RDBStorage, artifacts: Artifacts, leaves: Path) -> StudyHarness:
    """Studies of this test's own, over the tiny leaves."""
    return StudyHarness(storage, artifacts, leaves)


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[Callable[[str], WorkerProcess]]:
    """Run Python code in a process of its own. The processes share what they import, which takes seconds, once."""
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
    """Start ``venation worker`` with these arguments, as the command line does."""

    def start(*arguments: str) -> WorkerProcess:
        places = ["--device", "cpu", "--storage", postgres_url, "--artifacts", str(artifacts.folder)]
        return start_python(_COMMAND.format(arguments=["worker", *arguments, *places]))

    return start


@pytest.fixture
def pause_at(postgres_url: str, storage: RDBStorage) -> Iterator[Callable[[int], Pause]]:
    """Stop every trial that reports this step."""
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
    """Let every trial be this function of the context, the trial, and what is to be called between epochs."""

    def let(run: TrialRun) -> None:
        def run_trial(context: StudyContext, lease: Lease, check: Callable[[], None]) -> Result:
            return Result(run(context, lease.trial, check), {}, ())

        monkeypatch.setattr(worker, "run_trial", run_trial)

    return let
