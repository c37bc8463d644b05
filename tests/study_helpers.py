"""Helpers for tests of studies and workers: a harness, worker processes, a pause in a trial."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import Connection, create_engine, make_url, text

from venation.leases.claim import claim
from venation.search.handle import StudyHandle
from venation.storage.artifacts import Artifacts, StoredFile, record_file
from venation.studies.context import StudyContext, open_context
from venation.studies.create import create_requested
from venation.studies.request import make_request
from venation.workers.worker import work

SETTINGS = {
    "encoder.name": "test_resnet",
    "encoder.weights": "none",
    "data.size": 32,
    "train.epochs": 1,
    "train.batch_size": 8,
}
DEADLINE_S = 120.0

_WAITERS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# Ends every other session of the test's database, like a server restart or an idle timeout.
TERMINATE = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class StudyHarness:
    """A database, an artifact store and data, with methods that create and run studies here."""

    storage: RDBStorage
    artifacts: Artifacts
    data: Path

    def create(self, name: str = "soy", kind: str = "classifier", **options: Any) -> StudyHandle:
        """Create a study of one trial of a tiny classifier; decoders see whole images."""
        whole = {"data.fit": "squash"} if kind == "decoder" else {}
        settings: dict[str, Any] = dict(SETTINGS) if kind == "classifier" else whole
        settings |= options.pop("settings", {})
        data = self.data if kind == "classifier" else None
        options = {"name": name, "kind": kind, "data": data, "trials": 1, "pruner": "none"} | options
        request = make_request(options | {"settings": settings})
        return create_requested(self.storage, self.artifacts, request)[0]

    def context(self, handle: StudyHandle, data: Path | None = None) -> StudyContext:
        """Open the study's context as a worker on the CPU does."""
        return open_context(handle, self.artifacts, device="cpu", data=data)

    def work(self, *handles: StudyHandle, **options: Any) -> int:
        """Run a worker in this process until the studies have ended."""
        return work([self.context(handle) for handle in handles], until_idle=True, **options)

    def sql(self, statement: str) -> None:
        """Run one SQL statement."""
        with self.storage.engine.begin() as connection:
            connection.execute(text(statement))

    def end_next(self, handle: StudyHandle, state: TrialState, value: float | None = None, *names: str) -> None:
        """Claim the next trial and end it without training; record files of these names."""
        lease = claim(handle, max_losses=3)
        assert lease is not None
        for name in names:
            record_file(lease.trial, StoredFile(str(uuid.uuid4()), name, "application/octet-stream", None))
        lease.end(state, value)

    def silence(self) -> None:
        """Set the last heartbeat of every trial one hour back."""
        self.sql("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'")


@dataclass
class WorkerProcess:
    """A worker process and its log."""

    process: BaseProcess
    log: Path

    def send(self, signal: int) -> None:
        """Send a signal to the process."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal)

    def wait_until(self, seen: Callable[[], bool]) -> None:
        """Wait until ``seen()`` is true; fail if the process ends first or takes too long."""
        deadline = time.monotonic() + DEADLINE_S
        while not seen():
            assert self.process.is_alive() and time.monotonic() < deadline, self.log.read_text()
            self.process.join(0.02)

    def wait(self) -> int | None:
        """Wait for the process and return its exit code, negative for a signal."""
        self.process.join(DEADLINE_S)
        return self.process.exitcode


class Pause:
    """A pause of trials inside the report of one step, until it is released."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def wait(self, worker: WorkerProcess) -> None:
        """Wait until ``worker`` is paused; fail if it ends first or takes too long."""
        worker.wait_until(self.is_reached)

    def is_reached(self) -> bool:
        """Return whether a trial is paused."""
        return bool(self._connection.scalar(text(_WAITERS)))

    def release(self) -> None:
        """Let all paused trials continue."""
        self._connection.execute(text("SELECT pg_advisory_unlock_all()"))


@contextmanager
def database_down(url: str) -> Iterator[None]:
    """End every connection to the database, and refuse new ones inside the block."""
    place = make_url(url)
    engine = create_engine(place.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS false"))
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(terminate), {"name": place.database})
        try:
            yield
        finally:
            connection.execute(text(f"ALTER DATABASE {place.database} ALLOW_CONNECTIONS true"))
    engine.dispose()
