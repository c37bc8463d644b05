"""The budget is exact for any number of processes, and a single worker is reproducible."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from study_helpers import StudyHarness, WorkerProcess

from venation.leases.budget import count_states, is_finished
from venation.leases.lease import Lease
from venation.search.handle import StudyHandle
from venation.storage.artifacts import list_files
from venation.storage.attributes import METRICS
from venation.studies.context import StudyContext
from venation.studies.create import create_study
from venation.workers import worker
from venation.workers.objective import Result

BUDGET, WORKERS = 10, 6
ROUNDS = int(os.environ.get("VENATION_BUDGET_ROUNDS", "3"))

# The first owner of every third trial hands it back, and every fifth fails: both count.
_CLAIM_ALL = """
from optuna.trial import TrialState
from venation.leases.claim import claim
from venation.studies.registry import open_study
from venation.storage.attributes import METRICS
from venation.storage.database import open_storage
storage = open_storage({url!r})
for name in {names!r}:
    handle = open_study(storage, name)
    while (lease := claim(handle, max_losses=3)) is not None:
        number = lease.trial.number
        if number % 3 == 1 and lease.attempt == 1:
            lease.end(TrialState.WAITING)
        elif number % 5 == 2:
            lease.end(TrialState.FAIL, cause="bug: none")
            print(name, number)
        else:
            lease.end(TrialState.COMPLETE, 0.5)
            print(name, number)
"""

Run = Callable[[StudyContext, optuna.Trial], float]


@pytest.fixture
def trials_do(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Replace the run of every trial by this function."""

    def replace_run(run: Run) -> None:
        def run_trial(context: StudyContext, lease: Lease, _check: Callable[[], None]) -> Result:
            return Result(run(context, lease.trial), {}, ())

        monkeypatch.setattr(worker, "run_trial", run_trial)
        monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)

    return replace_run


def test_six_processes_run_exactly_the_budget_repeatedly(
    harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    first = harness.create("round-0", trials=BUDGET)
    names = [f"round-{number}" for number in range(ROUNDS)]
    handles = [
        first,
        *(create_study(harness.storage, harness.artifacts, name, first.spec, {})[0] for name in names[1:]),
    ]
    workers = [start_python(_CLAIM_ALL.format(url=postgres_url, names=names)) for _ in range(WORKERS)]
    assert [process.wait() for process in workers] == [0] * WORKERS, [each.log.read_text() for each in workers]
    ended = Counter(line for process in workers for line in process.log.read_text().splitlines())
    assert ended == Counter(f"{name} {number}" for name in names for number in range(BUDGET)), "each ends once"
    for handle in handles:
        assert count_states(handle) == {TrialState.COMPLETE: 8, TrialState.FAIL: 2}
        assert [trial.number for trial in handle.study.get_trials()] == list(range(BUDGET))
        assert is_finished(handle)


def test_budget_is_exact_under_repeatable_read(
    harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    handle = harness.create(trials=BUDGET)
    database = harness.storage.engine.url.database
    harness.sql(f"ALTER DATABASE {database} SET default_transaction_isolation = 'repeatable read'")
    workers = [start_python(_CLAIM_ALL.format(url=postgres_url, names=["soy"])) for _ in range(WORKERS)]
    assert [process.wait() for process in workers] == [0] * WORKERS, [each.log.read_text() for each in workers]
    assert [trial.number for trial in handle.study.get_trials()] == list(range(BUDGET))


def test_trials_enqueued_by_optuna_meanwhile_have_unique_numbers(
    harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    handle = harness.create(trials=2 * BUDGET)
    worker = start_python(_CLAIM_ALL.format(url=postgres_url, names=["soy"]))
    for _ in range(BUDGET):
        handle.study.enqueue_trial({})
    assert worker.wait() == 0, worker.log.read_text()
    numbers = [trial.number for trial in handle.study.get_trials()]
    assert numbers == list(range(len(numbers))) and len(numbers) >= 2 * BUDGET


def test_studies_take_turns_until_each_has_ended(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    order: list[str] = []

    def run(context: StudyContext, _trial: optuna.Trial) -> float:
        order.append(context.handle.study.study_name)
        return 0.5

    trials_do(run)
    harness.work(*(harness.create(name, trials=trials) for name, trials in (("a", 4), ("b", 1), ("c", 2))))
    assert order == ["a", "b", "c", "a", "c", "a", "a"]


def test_restarted_workers_meet_the_budget(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    calls: list[int] = []

    def run(_context: StudyContext, trial: optuna.Trial) -> float:
        calls.append(trial.number)
        if len(calls) % 2:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return 0.5

    trials_do(run)
    handle = harness.create(trials=4)
    starts = 0
    while not is_finished(handle):
        harness.work(handle)
        starts += 1
    assert starts == 5 and calls == [0, 0, 1, 1, 2, 2, 3, 3][: len(calls)]
    assert count_states(handle) == {TrialState.COMPLETE: 4}
    assert harness.work(handle) == 0, "a worker that is started on a finished study ends no trial"


def points(handle: StudyHandle) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.params, trial.values) for trial in handle.study.get_trials()]


def test_tpe_on_one_worker_draws_the_same_points_again(harness: StudyHarness, trials_do: Callable[[Run], None]) -> None:
    def run(context: StudyContext, trial: optuna.Trial) -> float:
        config = context.spec.space.suggest(trial, context.spec.config)
        return config.train.lr * (1 + config.data.blank)

    trials_do(run)
    handles = [harness.create(name, trials=14, seed=7) for name in ("one", "two")]
    assert harness.work(*handles) == 28
    one, two = map(points, handles)
    assert one == two
    other = harness.create("three", trials=14, seed=8)
    harness.work(other)
    assert points(other)[1:] != one[1:]


def test_a_study_on_one_worker_is_reproducible_bit_for_bit(harness: StudyHarness) -> None:
    made = []
    for name in ("one", "two"):
        handle = harness.create(name, trials=2, settings={"train.epochs": 2})
        assert harness.work(handle) == 2
        trials = handle.study.get_trials()
        curves = [(trial.intermediate_values, METRICS.need(trial)) for trial in trials]
        files = [{file.filename: file.sha256 for file in list_files(t, storage=harness.storage)} for t in trials]
        made.append((points(handle), curves, files))
    assert made[0] == made[1]
