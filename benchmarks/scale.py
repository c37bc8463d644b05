"""Measure how one PostgreSQL scales: 1 to 64 workers, and studies of up to 20,000 trials.

Workers are real: they claim, draw five parameters, report ten epochs, send heartbeats, keep a log
and record the end. Only the training is a sleep. Server and workers share the CPUs of one machine.
PgBouncer runs as docs/how-to/scale.md configures it, if it is installed (Debian: pgbouncer), and
Optuna's gRPC proxy if its packages are (grpcio, protobuf).

    python benchmarks/scale.py [--quick]
"""

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from _report import write_report
from _scale_crews import CrewResult, run_crew, run_worker_process
from _scale_pools import HAS_GRPC, HAS_PGBOUNCER, grpc_proxy, pgbouncer, run_plain_optuna
from _scale_sizes import fill, measure_worker
from service import create, database
from sqlalchemy import text

from venation.data.synthetic import write_leaves
from venation.storage import embedded
from venation.storage.database import open_storage

Row = dict[str, Any]
Way = tuple[str | None, int | None]  # the database's URL, and the process in between

STRAIGHT: Way = (None, None)


@dataclass(frozen=True)
class Sizes:
    """The sizes; ``rounds`` is trials per worker, ``burst`` all trials that return at once."""

    workers: tuple[int, ...]
    seconds: tuple[float, ...]
    rounds: int
    studies: tuple[int, ...]
    burst: int
    crowd: int
    pool: int


FULL = Sizes((1, 4, 16, 64), (1.0, 5.0), 3, (100, 1_000, 20_000), 160, 16, 20)
QUICK = Sizes((1, 2), (0.5,), 2, (10, 40), 16, 2, 4)


def row(part: str, case: str, figure: str, value: float, unit: str) -> Row:
    """Return one figure."""
    return {"part": part, "case": case, "figure": figure, "value": value, "unit": unit}


def crew_rows(part: str, case: str, found: CrewResult, trials: int) -> Iterator[Row]:
    """Yield the figures of one crew's run."""
    yield row(part, case, "rate", found.rate, "trials/s")
    yield row(part, case, "server", 1000 * found.server_s / trials, "CPU ms/trial")
    yield row(part, case, "workers", 1000 * found.worker_s / trials, "CPU ms/trial")
    if found.proxy_s:
        yield row(part, case, "in between", 1000 * found.proxy_s / trials, "CPU ms/trial")
    yield row(part, case, "server connections, peak", found.connections, "")


def new_study(home: Path, name: str, trials: int) -> None:
    """Create a study and close the connections of its creation."""
    create(home, name, trials).storage.engine.dispose()


def run_workers(home: Path, name: str, workers: int, trials: int, *, seconds: float, way: Way = STRAIGHT) -> CrewResult:
    """Create a study and run it to its end."""
    new_study(home, name, trials)
    url, pid = way
    return run_crew([partial(run_worker_process, url, name, seconds)] * workers, [name], proxy_pid=pid)


def simulated(home: Path, sizes: Sizes) -> Iterator[Row]:
    """Compare the rate of lasting trials with that of workers without overhead."""
    for seconds in sizes.seconds:
        for workers in sizes.workers:
            trials, case = workers * sizes.rounds, f"{workers} workers, trials of {seconds:g} s"
            found = run_workers(home, f"lasting-{seconds:g}-{workers}", workers, trials, seconds=seconds)
            yield from crew_rows("simulated", case, found, trials)
            yield row("simulated", case, "of the ideal rate", found.rate * seconds / workers, "")


def study_sizes(home: Path, sizes: Sizes) -> Iterator[Row]:
    """Measure a worker's waits in small and large studies, and the size of these."""
    context = multiprocessing.get_context("forkserver")
    for finished in sizes.studies:
        name = f"size-{finished}"
        megabytes = fill(home, name, finished)
        results = context.Queue()
        process = context.Process(target=measure_worker, args=(name, results))
        process.start()
        for figure, value, unit in results.get():
            yield row("study size", f"{finished} trials", figure, value, unit)
        process.join()
        yield row("study size", f"{finished} trials", "database", 1000 * megabytes / finished, "MB/1000 trials")


def pooled(home: Path, sizes: Sizes) -> Iterator[Row]:
    """Run trials that return at once, directly and through PgBouncer.

    Then run a crowd with more workers than connections.
    """
    settle_role()
    for case, mode, workers, size in (
        ("straight", None, sizes.crowd // 4 or 1, 0),
        ("session", "session", sizes.crowd // 4 or 1, 4 * sizes.crowd),
        ("transaction", "transaction", sizes.crowd // 4 or 1, sizes.pool),
        ("straight", None, sizes.crowd, 0),
        ("transaction", "transaction", sizes.crowd, sizes.pool),
        ("transaction, a small pool", "transaction", sizes.crowd, max(3, sizes.pool // 4)),
    ):
        name = f"pooled-{workers}-{case.replace(',', '').replace(' ', '-')}"
        with pgbouncer(home, mode=mode, size=size) if mode else nullcontext(STRAIGHT) as way:
            found = run_workers(home, name, workers, sizes.burst, seconds=0.0, way=way)
        yield from crew_rows("PgBouncer", f"{case}, {workers} workers", found, sizes.burst)
    seconds, workers = sizes.seconds[-1], sizes.workers[-1]
    trials = workers * sizes.rounds
    with pgbouncer(home, mode="transaction", size=sizes.pool) as way:
        found = run_workers(home, "pooled-lasting", workers, trials, seconds=seconds, way=way)
    yield from crew_rows("PgBouncer", f"transaction, {workers} workers, trials of {seconds:g} s", found, trials)


def settle_role() -> None:
    """Set the role's options that PgBouncer does not let a connection set.

    The docs page lists them.
    """
    engine = open_storage(embedded.start()).engine
    with engine.begin() as connection:
        for setting in ("timezone = 'UTC'", "statement_timeout = '60s'", "idle_in_transaction_session_timeout = '60s'"):
            connection.execute(text(f"ALTER ROLE CURRENT_USER SET {setting}"))
    engine.dispose()


def several(home: Path, sizes: Sizes) -> Iterator[Row]:
    """Run a crowd on one study, then spread over four."""
    for number in (1, 4):
        names = [f"spread-{number}-{index}" for index in range(number)]
        for name in names:
            new_study(home, name, sizes.burst // number)
        workers = max(sizes.crowd, number)
        found = run_crew(
            [partial(run_worker_process, None, names[index % number], 0.0) for index in range(workers)], names
        )
        yield from crew_rows("studies", f"{workers} workers on {number}", found, sizes.burst)


def proxied(sizes: Sizes) -> Iterator[Row]:
    """Run plain Optuna, directly and through its gRPC proxy."""
    for workers in sorted({1, sizes.crowd // 4 or 1, sizes.crowd}):
        for way in ("straight", "through the proxy"):
            name = f"plain-{workers}-{way}"
            storage = optuna.storages.RDBStorage(embedded.start())
            optuna.create_study(study_name=name, storage=storage)
            storage.engine.dispose()
            with grpc_proxy() if way != "straight" else nullcontext((None, None)) as (port, pid):
                jobs = [partial(run_plain_optuna, port, name, sizes.burst // workers)] * workers
                found = run_crew(jobs, [name], proxy_pid=pid)
            yield from crew_rows("plain Optuna", f"{way}, {workers} workers", found, sizes.burst // workers * workers)


def measure(sizes: Sizes) -> list[Row]:
    """Return the whole table."""
    rows = [row("machine", "before", "load", os.getloadavg()[0], "")]
    with database() as home:
        write_leaves(home / "leaves", classes=2, images=6, size=32, seed=0)
        rows += several(home, sizes)
        rows += pooled(home, sizes) if HAS_PGBOUNCER else ()
        rows += proxied(sizes) if HAS_GRPC else ()
        rows += study_sizes(home, sizes)
        rows += simulated(home, sizes)
    return [*rows, row("machine", "after", "load", os.getloadavg()[0], "")]


def main() -> None:
    """Read the options, measure, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run; nothing is written")
    options = parser.parse_args()
    if options.quick:
        print(*measure(QUICK), sep="\n")
    else:
        write_report("scale", measure(FULL))


if __name__ == "__main__":
    main()
