"""Measure the overhead of the service over plain Optuna: trial rate and ask latency.

Trials draw five parameters and return at once. Both sides run the same number of trials with the
same sampler on the same database, with 1 to 16 workers, each in a process: Optuna by
``study.optimize``, Venation by its worker with an empty run. Ask latency is that of the worker's
claim and the five draws, in a study of 100 and in one of 20,000 finished trials.

    python benchmarks/service.py [--quick]
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import optuna
from _report import write_report
from sqlalchemy import text

from venation.data.synthetic import write_leaves
from venation.leases.claim import claim
from venation.leases.lease import Lease
from venation.search.handle import StudyHandle
from venation.storage import embedded
from venation.storage.artifacts import open_artifacts
from venation.storage.database import open_storage
from venation.studies.context import StudyContext, open_context
from venation.studies.create import create_requested
from venation.studies.registry import open_study
from venation.studies.request import make_request
from venation.workers import worker
from venation.workers.objective import Result

WORKERS = (1, 2, 4, 8, 16)
NAMES = ["train.label_smoothing", "train.weight_decay", "train.warmup", "data.blank", "data.colour"]
CHOICES = (0.0, 0.0625, 0.125, 0.25)
BULK = """
WITH t AS (
  INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)
  SELECT n, :study, 'COMPLETE', now(), now() FROM generate_series(:first, :last) n RETURNING trial_id
), v AS (
  INSERT INTO trial_values (trial_id, objective, value, value_type) SELECT trial_id, 0, random(), 'FINITE' FROM t
)
INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
SELECT trial_id, name, floor(random() * 4), :distribution FROM t, unnest(CAST(:names AS text[])) name
"""


@contextmanager
def database() -> Iterator[Path]:
    """Run a database server in a temporary home; yield the folder."""
    home = Path(tempfile.mkdtemp(prefix="vb"))
    home.chmod(0o755)
    os.environ["VENATION_HOME"] = str(home)
    embedded.start()
    try:
        yield home
    finally:
        embedded.stop()
        shutil.rmtree(home)


def create(home: Path, name: str, trials: int) -> StudyHandle:
    """Create a study with five parameters, whose network is never built."""
    storage, store = open_storage(embedded.start()), open_artifacts(None)
    space = home / "space.yaml"
    space.write_text("\n".join(f"{name}: {list(CHOICES)}" for name in NAMES))
    settings = {"encoder.name": "test_resnet", "encoder.weights": "none", "data.size": 32}
    options: dict[str, Any] = {"data": home / "leaves", "settings": settings}
    options |= {"name": name, "kind": "classifier", "trials": trials, "pruner": "none", "space": space}
    return create_requested(storage, store, make_request(options))[0]


def draw(trial: optuna.Trial) -> float:
    """Draw five parameters and return a value."""
    return sum(trial.suggest_categorical(name, list(CHOICES)) for name in NAMES)


def run_nothing(context: StudyContext, lease: Lease, _: Callable[[], None]) -> Result:
    """Replace a training by the draws alone."""
    return Result(draw(lease.trial), {context.spec.objective: 0.0}, ())


def ours(name: str, _: int, start: Barrier) -> None:
    """Run one Venation worker until the study has ended."""
    context = open_context(open_study(open_storage(embedded.start()), name), open_artifacts(None), device="cpu")
    worker.run_trial = run_nothing
    start.wait()
    worker.work([context], until_idle=True)


def plain(name: str, trials: int, start: Barrier) -> None:
    """Run a share of the trials with plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(embedded.start())
    study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.TPESampler(seed=os.getpid()))
    start.wait()
    study.optimize(draw, n_trials=trials)


def rate(target: Callable[[str, int, Barrier], None], name: str, *, workers: int, trials: int) -> float:
    """Return trials per second, from the moment when every worker is ready."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "venation.workers.worker"])
    start = context.Barrier(workers + 1)
    processes = [context.Process(target=target, args=(name, trials // workers, start)) for _ in range(workers)]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    assert all(process.exitcode == 0 for process in processes)
    return trials / (time.perf_counter() - began)


def throughput(home: Path, workers: int, trials: int) -> dict[str, Any]:
    """Return one line of the table."""
    name = f"ours-{workers}"
    create(home, name, trials)
    optuna.create_study(study_name=f"plain-{workers}", storage=optuna.storages.RDBStorage(embedded.start()))
    theirs = rate(plain, f"plain-{workers}", workers=workers, trials=trials)
    found = rate(ours, name, workers=workers, trials=trials)
    return {
        "case": f"{workers} workers",
        "optuna": theirs,
        "venation": found,
        "ratio": found / theirs,
        "unit": "trials/s",
    }


def ask_seconds(home: Path, finished: int, asks: int) -> float:
    """Return the median time from a claim to the last of five draws.

    The first, which fills Optuna's cache, does not count.
    """
    name = f"asked-{finished}"
    handle = create(home, name, finished + asks + 2)
    first = 1 + len(handle.study.get_trials(deepcopy=False))
    distribution = optuna.distributions.CategoricalDistribution(CHOICES)
    values = {
        "study": handle.id,
        "first": first,
        "last": finished,
        "names": NAMES,
        "distribution": optuna.distributions.distribution_to_json(distribution),
    }
    with handle.storage.engine.begin() as connection:
        connection.execute(text(BULK), values)
    handle = open_study(open_storage(embedded.start()), name)
    seconds = []
    for _ in range(asks + 1):
        began = time.perf_counter()
        lease = claim(handle, max_losses=3)
        assert lease is not None
        draw(lease.trial)
        seconds.append(time.perf_counter() - began)
        lease.end(optuna.trial.TrialState.COMPLETE, [0.5])
    return median(seconds[1:])


def measure(workers: Sequence[int], trials: int, sizes: tuple[int, int], asks: int) -> list[dict[str, Any]]:
    """Return the whole table."""
    with database() as home:
        write_leaves(home / "leaves", classes=2, images=6, size=32, seed=0)
        rows = [throughput(home, number, trials) for number in workers]
        small, large = (ask_seconds(home, size, asks) for size in sizes)
    return [
        *rows,
        {"case": f"ask among {sizes[0]}", "optuna": None, "venation": small, "ratio": 1.0, "unit": "s"},
        {"case": f"ask among {sizes[1]}", "optuna": None, "venation": large, "ratio": large / small, "unit": "s"},
    ]


def main() -> None:
    """Read the options, measure, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run; nothing is written")
    options = parser.parse_args()
    if options.quick:
        print(*measure((1, 2), 8, (20, 200), 2), sep="\n")
    else:
        write_report("service", measure(WORKERS, 160, (100, 20_000), 9))


if __name__ == "__main__":
    main()
