"""Crews of processes on one database, watched from outside: trials a second, processor time, connections.

Rates are counted by the times in the trials' rows, from the first start to the last end, so that neither the start of
the processes nor their farewell counts. The server's processor time is that of the postmaster, of what it has waited
for and of what still runs.
"""

import math
import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import psycopg2
from service import draw, run_nothing

from venation.leases.lease import Lease
from venation.storage import embedded
from venation.storage.artifacts import open_artifacts
from venation.storage.attributes import CONFIG, PROVENANCE
from venation.storage.database import open_storage
from venation.studies.context import StudyContext, open_context
from venation.studies.registry import open_study
from venation.trials.provenance import collect_provenance
from venation.workers import worker
from venation.workers.objective import Result
from venation.workers.reporting import TrialReporter

EPOCHS = 10

# A name, whose first argument is called when all processes are ready, and whose result is put into the queue.
Job = Callable[[Callable[[], object]], Any]

_RATE = (
    "SELECT count(*) / extract(epoch FROM max(datetime_complete) - min(datetime_start))"
    " FROM trials JOIN studies USING (study_id) WHERE study_name = ANY(%s) AND state = 'COMPLETE'"
)
_SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True)
class Watched:
    """What a crew's run came to: ``rate`` in trials a second, processor times in seconds over the whole run.

    ``beside_s`` is that of the process between workers and server, if there is one.
    """

    rate: float
    server_s: float
    worker_s: float
    beside_s: float
    connections: int


def simulate(seconds: float, context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> Result:
    """What a worker runs in place of a training: all that a trial says to the database, and sleep in between."""
    CONFIG.set(lease.trial, context.spec.config.model_dump(mode="json"))
    PROVENANCE.set(lease.trial, collect_provenance("cpu").model_dump(mode="json"))
    value = draw(lease.trial)
    report = TrialReporter(context, lease)
    for epoch in range(EPOCHS):
        time.sleep(seconds / EPOCHS)
        report({context.spec.objective: value}, epoch)
        between_epochs()
    return Result(value, {context.spec.objective: value}, ())


def at_work(url: str | None, name: str, seconds: float, ready: Callable[[], object]) -> float:
    """One Venation worker until its study has ended; ``seconds`` 0 is a trial that returns at once, without reports.

    Returns its processor time in seconds.
    """
    context = open_context(open_study(open_storage(url or embedded.start()), name), open_artifacts(None), device="cpu")
    worker.run_trial = partial(simulate, seconds) if seconds else run_nothing
    ready()
    began = time.process_time()
    worker.work([context], until_idle=True)
    return time.process_time() - began


def run_crew(jobs: Sequence[Job], studies: Sequence[str], *, beside: int | None = None) -> Watched:
    """Run each of ``jobs`` in a process of its own, all from one moment on; they work on ``studies``.

    ``beside`` is the number of a process whose processor time is to be told.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["service", __name__, "venation.workers.worker"])
    start, told = context.Barrier(len(jobs) + 1), context.Queue()
    processes = [context.Process(target=_run, args=(job, start, told), daemon=True) for job in jobs]
    for process in processes:
        process.start()
    start.wait()
    before, beside_before = _server_seconds(), _seconds(beside)
    peak, over = [0], threading.Event()
    watcher = threading.Thread(target=_watch_sessions, args=(peak, over))
    watcher.start()
    spent = [told.get() for _ in jobs]
    over.set()
    watcher.join()
    server_s, beside_s = _server_seconds() - before, _seconds(beside) - beside_before
    for process in processes:
        process.join()
    assert not any(map(math.isnan, spent)), "a worker failed; see above"
    with psycopg2.connect(_plain_url()) as connection, connection.cursor() as cursor:
        cursor.execute(_RATE, (list(studies),))
        rate = float(cursor.fetchone()[0])
    connection.close()
    return Watched(rate, server_s, sum(spent), beside_s, peak[0])


def _run(job: Job, start: Any, told: Any) -> None:
    spent = math.nan
    try:
        spent = job(start.wait)
    finally:
        if math.isnan(spent):
            start.abort()  # the others need not wait for us
        told.put(spent)


def _watch_sessions(peak: list[int], over: threading.Event) -> None:
    connection = psycopg2.connect(_plain_url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        while not over.wait(0.5):
            cursor.execute(_SESSIONS)
            peak[0] = max(peak[0], cursor.fetchone()[0])
    connection.close()


def _plain_url() -> str:
    return embedded.start().replace("+psycopg2", "")


def _server_seconds() -> float:
    running = embedded.status()
    assert running is not None
    postmaster = psutil.Process(running["pid"])
    times = postmaster.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for process in postmaster.children():
        try:
            living = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += living.user + living.system
    return float(total)


def _seconds(pid: int | None) -> float:
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
