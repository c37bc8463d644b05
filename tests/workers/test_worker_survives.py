"""SIGKILL, SIGTERM and a database outage during a trial."""

import signal
from collections.abc import Callable
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState
from study_helpers import Pause, StudyHarness, WorkerProcess, database_down

from venation.leases.budget import count_states
from venation.leases.history import attempts
from venation.search.handle import StudyHandle
from venation.storage.attributes import METRICS
from venation.studies.registry import checkpoint_id

EPOCHS = 3
OPTIONS: dict[str, Any] = {"trials": 2, "heartbeat": 0.25, "settings": {"train.epochs": EPOCHS}}

StartWorker = Callable[..., WorkerProcess]
PauseAt = Callable[[int], Pause]


def result(trial: FrozenTrial) -> tuple[Any, ...]:
    """Return the parts of a finished trial that must not depend on interruptions."""
    return trial.state, trial.value, trial.params, trial.intermediate_values, METRICS.need(trial)


def assert_as_undisturbed(harness: StudyHarness, handle: StudyHandle) -> None:
    """Assert that budget, files and results equal those of a study without interruptions."""
    assert count_states(handle) == {TrialState.COMPLETE: OPTIONS["trials"]}
    calm = harness.create("calm", **OPTIONS)
    assert harness.work(calm) == OPTIONS["trials"]
    disturbed, undisturbed = handle.study.get_trials(), calm.study.get_trials()
    assert [result(trial) for trial in disturbed] == [result(trial) for trial in undisturbed]
    assert all(list(trial.intermediate_values) == list(range(EPOCHS)) for trial in disturbed)
    assert not list(harness.artifacts.folder.glob("*-checkpoint*"))


def test_a_killed_worker_s_trial_is_resumed_from_its_last_epoch(
    harness: StudyHarness, start_worker: StartWorker, pause_at: PauseAt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    handle = harness.create(**OPTIONS)
    pause = pause_at(1)
    worker = start_worker("soy")
    pause.wait(worker)
    worker.send(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    pause.release()
    assert count_states(handle) == {TrialState.RUNNING: 1}
    assert harness.work(handle) == 2
    assert "trial 0: resumed" in caplog.text
    assert "trial 0: epoch 2/3" in caplog.text and "trial 0: epoch 1/3" not in caplog.text
    assert_as_undisturbed(harness, handle)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stopped_worker_hands_its_trial_back(
    harness: StudyHarness,
    start_worker: StartWorker,
    pause_at: PauseAt,
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
) -> None:
    caplog.set_level("INFO")
    handle = harness.create(**OPTIONS)
    pause = pause_at(0)
    worker = start_worker("soy")
    pause.wait(worker)
    worker.send(number)
    pause.release()
    assert worker.wait() == 0, worker.log.read_text()
    assert "study soy trial 0: handed back\n0 trials ended\n" in worker.log.read_text()
    assert count_states(handle) == {TrialState.WAITING: 1}
    assert (harness.artifacts.folder / checkpoint_id(handle, 0)).exists()
    assert harness.work(handle) == 2
    assert "trial 0: epoch 2/3" in caplog.text and "trial 0: epoch 1/3" not in caplog.text
    assert_as_undisturbed(harness, handle)


def test_a_worker_survives_a_database_outage(
    harness: StudyHarness, start_worker: StartWorker, pause_at: PauseAt, postgres_url: str
) -> None:
    handle = harness.create(**OPTIONS)
    pause = pause_at(1)
    worker = start_worker("soy", "--until-idle")
    pause.wait(worker)
    with database_down(postgres_url):
        worker.wait_until(lambda: "the database has not answered" in worker.log.read_text())
    assert worker.wait() == 0, worker.log.read_text()
    log = worker.log.read_text()
    assert "trial 0: dropped, the database went away" in log and "trial 0: resumed" in log
    assert [attempt["end"] for attempt in attempts(handle.study.get_trials()[0])][-2:] == ["database", "complete"]
    assert "Traceback" not in log
    assert_as_undisturbed(harness, handle)
