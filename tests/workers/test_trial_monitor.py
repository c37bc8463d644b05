"""The log of a trial on any machine, the list of workers, and a worker's metrics."""

import io
import json
import logging
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO
from urllib.request import urlopen

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import TrialState
from prometheus_client.parser import text_string_to_metric_families
from small_bundle import EXPECTED_FAILURE, refuse, rows, venation
from sqlalchemy import text
from study_helpers import DEADLINE_S, Pause, StudyHarness, WorkerProcess, database_down

from venation.errors import UserError
from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.storage.artifacts import StoredFile, StoreFailed, list_files
from venation.storage.database import open_storage
from venation.storage.folder import FolderStore
from venation.studies.registry import delete_study
from venation.workers import logs, worker, worker_status
from venation.workers.logs import TrialLog, follow_log, read_log
from venation.workers.signals import Stopped

EPOCHS = 2
OPTIONS: dict[str, Any] = {"trials": 1, "heartbeat": 0.25, "settings": {"train.epochs": EPOCHS}}

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture(autouse=True)
def _info() -> Any:
    """Set Venation's logger to INFO, as the command line does."""
    logger = logging.getLogger("venation")
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


def folder(harness: StudyHarness) -> str:
    assert isinstance(harness.artifacts, FolderStore)
    return str(harness.artifacts.folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return the samples at this port by name and label values, by Prometheus's parser."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_a_running_trial_is_listed_and_its_log_survives_its_worker(
    harness: StudyHarness, start_worker: StartWorker, pause_at: Callable[[int], Pause], postgres_url: str
) -> None:
    handle = harness.create(**OPTIONS)
    pause, port = pause_at(1), free_port()
    worker = start_worker("soy", "--metrics-port", str(port))
    pause.wait(worker)
    (row,) = rows("worker", "list", "--storage", postgres_url)
    pid = worker.process.pid
    assert row["worker"] == f"{socket.gethostname()}:{pid}"
    assert (row["state"], row["study"], row["trial"], row["epoch"]) == ("busy", "soy", 0, 1)
    assert (row["pid"], row["device"]) == (pid, "cpu") and row["silent_s"] < handle.spec.grace
    samples = scrape(port)
    assert samples["venation_worker_current_trial", "soy", "0"] == 1
    assert samples["venation_worker_epochs_total", "soy"] == 1
    assert samples["venation_worker_trial_seconds_total", "soy"] > 0
    assert not [name for name, *_ in samples if name == "venation_worker_trials_total"]
    places = ("--storage", postgres_url, "--artifacts", folder(harness))
    seen = [json.loads(line) for line in venation("trial", "logs", "soy", 0, *places, "--json").stdout.splitlines()]
    assert seen[0]["text"] == "study soy trial 0: attempt 1, on cpu"
    assert seen[-1]["text"].startswith("study soy trial 0: epoch 1/2 loss ")
    worker.send(signal.SIGKILL)
    worker.wait()
    pause.release()
    assert harness.work(handle) == 1
    (trial,) = handle.study.get_trials()
    lines = read_log(handle, harness.artifacts, trial)
    epochs = [(line.attempt, line.text.split()[5]) for line in lines if " epoch " in line.text]
    assert epochs == [(1, "1/2"), (2, "2/2")]
    assert [line.n for line in lines if line.attempt == 1] == list(range(1, len(seen) + 1))
    shown = venation("trial", "logs", "soy", 0, *places)
    assert shown.stdout.count("\n") == len(lines) and shown.stderr == "trial 0 of study soy: COMPLETE\n"


def test_a_log_is_followed_to_the_trial_s_end(
    harness: StudyHarness, start_worker: StartWorker, pause_at: Callable[[int], Pause]
) -> None:
    handle = harness.create(**OPTIONS)
    pause = pause_at(1)
    worker = start_worker("soy", "--max-trials", "1")
    pause.wait(worker)
    following = follow_log(handle, harness.artifacts, 0, pause_s=0.05)
    first = next(following)
    assert "attempt 1" in first.text and count_states(handle) == {TrialState.RUNNING: 1}
    pause.release()
    lines = [first, *following]
    assert count_states(handle) == {TrialState.COMPLETE: 1}
    assert [line.n for line in lines] == list(range(1, len(lines) + 1))
    assert "epoch 2/2" in lines[-1].text
    assert worker.wait() == 0


def test_a_log_is_a_file_of_its_trial_and_deleted_with_it(harness: StudyHarness) -> None:
    handle = harness.create(**OPTIONS)
    harness.work(handle)
    (trial,) = handle.study.get_trials()
    (file,) = [file for file in list_files(trial, storage=handle.storage) if file.filename == "log-1.jsonl"]
    with harness.artifacts.open_reader(file.artifact_id) as stored:
        assert b"epoch 2/2" in stored.read()
    delete_study(harness.storage, "soy", harness.artifacts)
    with pytest.raises(ArtifactNotFound):
        harness.artifacts.open_reader(file.artifact_id)


class NoLogs(FolderStore):
    """A store without room for logs."""

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        if artifact_id.endswith(".jsonl"):
            raise StoreFailed("no room")
        super().write(artifact_id, content_body)


def test_a_log_that_cannot_be_stored_does_not_stop_the_trial(harness: StudyHarness) -> None:
    store = NoLogs(harness.artifacts.folder)  # type: ignore[attr-defined]
    handle = harness.create(**OPTIONS)
    assert StudyHarness(harness.storage, store, harness.data).work(handle) == 1
    (trial,) = handle.study.get_trials()
    assert trial.state == TrialState.COMPLETE and not read_log(handle, store, trial)


def test_damaged_log_lines_are_left_out_with_one_remark(harness: StudyHarness, postgres_url: str) -> None:
    handle = harness.create(**OPTIONS)
    harness.work(handle)
    (file,) = [file for file in list_files(handle.study.trials[0], storage=handle.storage) if "log-" in file.filename]
    with harness.artifacts.open_reader(file.artifact_id) as stored:
        first, second, *rest = stored.read().splitlines()
    for spoilt in (second[:-1], b"\xff" + second[1:], b"7", second.replace(b'"text"', b'"test"')):
        harness.artifacts.write(file.artifact_id, io.BytesIO(b"\n".join([first, spoilt, *rest])))
        for follow in ((), ("-f",)):
            places = ("--storage", postgres_url, "--artifacts", folder(harness))
            shown = venation("trial", "logs", "soy", 0, "--json", *follow, *places)
            assert [json.loads(line)["n"] for line in shown.stdout.splitlines()] == [1, *range(3, 3 + len(rest))]
            assert shown.stderr == "trial 0 of study soy: COMPLETE; 1 damaged lines are left out\n"


def test_a_log_in_another_store_is_an_error(harness: StudyHarness, postgres_url: str, tmp_path: Path) -> None:
    handle = harness.create(**OPTIONS)
    harness.work(handle)
    says = ("(log-1.jsonl) is recorded, but not in the artifact store", "--artifacts")
    for follow in ((), ("-f",)):
        places = ("--storage", postgres_url, "--artifacts", tmp_path / "other")
        refuse(EXPECTED_FAILURE, "trial", "logs", "soy", 0, *follow, *places, says=says)
    # The log of one of several attempts may be lost.
    missing = StoredFile("gone", "log-2.jsonl", "application/jsonl", None)
    harness.sql(
        "INSERT INTO trial_system_attributes (trial_id, key, value_json) SELECT trial_id, 'artifacts:gone',"
        f" to_json(CAST('{json.dumps(asdict(missing))}' AS text)) FROM trials".replace(":", "\\:")
    )
    shown = venation("trial", "logs", "soy", 0, "--storage", postgres_url, "--artifacts", folder(harness))
    assert shown.stdout.count("\n") >= 3
    assert shown.stderr == "trial 0 of study soy: COMPLETE; not in the artifact store: log-2.jsonl\n"


def test_a_long_log_keeps_its_last_lines(harness: StudyHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LINES", 10)
    handle = harness.create()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    log = TrialLog(harness.artifacts, lease)
    for number in range(25):
        log.handle(logging.LogRecord("venation", logging.INFO, "", 0, "line %d", (number,), None))
    log.store()
    lines = read_log(handle, harness.artifacts, handle.study.get_trials()[0])
    assert [line.n for line in lines] == list(range(16, 26)) and lines[-1].text == "line 24"


def test_a_booster_trial_has_no_log(harness: StudyHarness, postgres_url: str) -> None:
    soy, boost = harness.create(), harness.create("boost", "booster", base="soy", settings={"boost.rounds": 2})
    harness.work(soy, boost)
    shown = venation("trial", "logs", "boost", 0, "--storage", postgres_url, "--artifacts", folder(harness))
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "trial 0 of study boost: COMPLETE without a stored line" in shown.stderr


def test_a_missing_trial_has_no_log(harness: StudyHarness, postgres_url: str) -> None:
    harness.create()
    places = ("--storage", postgres_url, "--artifacts", folder(harness))
    refuse(EXPECTED_FAILURE, "trial", "logs", "soy", 5, "-f", *places, says=("study `soy` has no trial 5",))


def test_following_a_deleted_trial_is_an_error(harness: StudyHarness) -> None:
    handle = harness.create()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    log = TrialLog(harness.artifacts, lease)
    log.handle(logging.LogRecord("venation", logging.INFO, "", 0, "a line", (), None))
    log.store()
    following = follow_log(handle, harness.artifacts, 0, pause_s=0.01)
    assert next(following).text == "a line"
    delete_study(harness.storage, "soy", harness.artifacts)
    with pytest.raises(UserError, match="trial 0 of study `soy` was deleted"):
        next(following)


def test_a_holder_beyond_the_grace_is_silent(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    assert claim(handle, max_losses=3, device="cuda:2") is not None
    harness.silence()
    (row,) = worker_status.list_workers(harness.storage)
    assert (row["state"], row["pid"], row["device"], row["trial"]) == ("silent", os.getpid(), "cuda:2", 1)
    assert row["silent_s"] == pytest.approx(3600, abs=60)


def test_an_idle_worker_is_known_by_its_sessions(harness: StudyHarness, start_worker: StartWorker) -> None:
    handle = harness.create()
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    worker = start_worker("soy")
    worker.wait_until(lambda: bool(worker_status.list_workers(harness.storage)))
    (row,) = worker_status.list_workers(harness.storage)
    assert (row["state"], row["pid"], row["device"]) == ("idle", worker.process.pid, "cpu")
    assert row["study"] is None and row["trial"] is None
    worker.send(signal.SIGKILL)
    worker.wait()
    deadline = time.monotonic() + DEADLINE_S
    while worker_status.list_workers(harness.storage):
        assert time.monotonic() < deadline, "the server still shows it"
        time.sleep(0.02)


def test_session_names_are_short_and_differ_by_host(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for number in (1, 2):
        host = f"venation-worker-{'x' * 60}-{number}"
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
        names.add(worker_status.session_name("cuda", 1))
    assert len(names) == 2 and all(len(name) <= 63 and name.endswith(" cuda:7") for name in names)


def test_a_follower_waits_for_a_database_that_is_away(
    harness: StudyHarness, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    lease = claim(handle, max_losses=3)
    assert lease is not None
    log = TrialLog(harness.artifacts, lease)
    log.handle(logging.LogRecord("venation", logging.INFO, "", 0, "before", (), None))
    log.store()
    following = follow_log(handle, harness.artifacts, 0)
    pauses: list[float] = []
    outage = ExitStack()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            outage.close()
            log.handle(logging.LogRecord("venation", logging.INFO, "", 0, "after", (), None))
            log.store()
            lease.end(TrialState.COMPLETE, 0.5)

    monkeypatch.setattr(logs, "time", SimpleNamespace(sleep=pause, time=time.time))
    assert next(following).text == "before"
    with outage:
        outage.enter_context(database_down(postgres_url))
        assert [line.text for line in following] == ["after"]
    assert len(pauses) == 4


def test_a_stopped_worker_hands_its_trial_back_before_it_stores_the_log(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = harness.create()
    states: list[TrialState] = []

    class Noting(FolderStore):
        def write(self, artifact_id: str, content_body: BinaryIO) -> None:
            if artifact_id.endswith(".jsonl"):
                states.extend(count_states(handle))
            super().write(artifact_id, content_body)

    def run_trial(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise Stopped

    monkeypatch.setattr(worker, "run_trial", run_trial)
    store = Noting(harness.artifacts.folder)  # type: ignore[attr-defined]
    stopped = StudyHarness(harness.storage, store, harness.data)
    assert stopped.work(handle) == 0
    assert states == [TrialState.RUNNING, TrialState.WAITING]
    lines = read_log(handle, store, handle.study.get_trials()[0])
    assert [line.text.split(",")[0] for line in lines][1:] == ["stopping after the running epoch"]


def test_sessions_of_other_programs_are_no_workers(harness: StudyHarness, postgres_url: str) -> None:
    for name in ("venation worker of the month", "venation worker a:b cpu"):
        other = open_storage(postgres_url, name=name)
        with other.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            assert worker_status.list_workers(harness.storage) == []
        other.engine.dispose()


def test_a_role_without_rights_to_other_sessions_sees_idle_workers(harness: StudyHarness, postgres_url: str) -> None:
    role = f"watcher_{uuid.uuid4().hex}"
    for statement in ("CREATE ROLE {} LOGIN", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}"):
        harness.sql(statement.format(role))
    worker = open_storage(postgres_url, name=worker_status.session_name("cpu", None))
    watcher = open_storage(postgres_url.replace("postgres@", f"{role}@"))
    try:
        with worker.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            (row,) = worker_status.list_workers(watcher)
        assert (row["state"], row["pid"], row["since"], row["silent_s"]) == ("idle", os.getpid(), None, None)
    finally:
        for storage in (worker, watcher):
            storage.engine.dispose()
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            harness.sql(statement.format(role))
