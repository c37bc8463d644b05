"""Run crews of worker processes on one database: trials per second, CPU time, connections.

Rates come from the times in the trials' rows, from the first start to the last end, so process
start-up and shutdown do not count. The server's CPU time is that of the postmaster and of its ended
and running children.
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

# A job calls its argument when it is ready to start, and returns its CPU time for the queue.
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
class CrewResult:
    """A crew's ``rate`` in trials per second, and CPU seconds over the whole run.

    ``proxy_s`` is that of a process between workers and server, if there is one.
    """

    rate: float
    server_s: float
    worker_s: float
    proxy_s: float
    connections: int


def simulate(seconds: float, context: StudyContext, lease: Lease, between_epochs: Callable[[], None]) -> Result:
    """Replace a training by its database writes and sleep."""
    CONFIG.set(lease.trial, context.spec.config.model_dump(mode="json"))
    PROVENANCE.set(lease.trial, collect_provenance("cpu").model_dump(mode="json"))
    value = draw(lease.trial)
    report = TrialReporter(context, lease, last=EPOCHS - 1)
    for epoch in range(EPOCHS):
        time.sleep(seconds / EPOCHS)
        report({context.spec.objective: value}, epoch)
        between_epochs()
    return Result(value, {context.spec.objective: value}, ())


def run_worker_process(url: str | None, name: str, seconds: float, ready: Callable[[], object]) -> float:
    """Run one Venation worker until its study has ended; return its CPU time in seconds.

    ``seconds`` 0 makes trials return at once, without reports.
    """
    context = open_context(open_study(open_storage(url or embedded.start()), name), open_artifacts(None), device="cpu")
    worker.run_trial = partial(simulate, seconds) if seconds else run_nothing
    ready()
    began = time.process_time()
    worker.work([context], until_idle=True)
    return time.process_time() - began


def run_crew(jobs: Sequence[Job], studies: Sequence[str], *, proxy_pid: int | None = None) -> CrewResult:
    """Run each of ``jobs`` in a process, with a common start; they work on ``studies``.

    ``proxy_pid`` is a process between workers and server whose CPU time is measured too.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["service", __name__, "venation.workers.worker"])
    start, results = context.Barrier(len(jobs) + 1), context.Queue()
    processes = [context.Process(target=_run, args=(job, start, results), daemon=True) for job in jobs]
    for process in processes:
        process.start()
    start.wait()
    before, proxy_before = _server_seconds(), _seconds(proxy_pid)
    peak, ended = [0], threading.Event()
    watcher = threading.Thread(target=_watch_sessions, args=(peak, ended))
    watcher.start()
    spent = [results.get() for _ in jobs]
    ended.set()
    watcher.join()
    server_s, proxy_s = _server_seconds() - before, _seconds(proxy_pid) - proxy_before
    for process in processes:
        process.join()
    assert not any(map(math.isnan, spent)), "a worker failed; see above"
    with psycopg2.connect(_plain_url()) as connection, connection.cursor() as cursor:
        cursor.execute(_RATE, (list(studies),))
        rate = float(cursor.fetchone()[0])
    connection.close()
    return CrewResult(rate, server_s, sum(spent), proxy_s, peak[0])


def _run(job: Job, start: Any, results: Any) -> None:
    spent = math.nan
    try:
        spent = job(start.wait)
    finally:
        if math.isnan(spent):
            start.abort()  # release the other processes
        results.put(spent)


def _watch_sessions(peak: list[int], ended: threading.Event) -> None:
    connection = psycopg2.connect(_plain_url())
    connection.autocommit = True
    with connection.cursor() as cursor:
        while not ended.wait(0.5):
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
