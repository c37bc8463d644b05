"""Trials in MLflow and Weights & Biases, and services that fail or do not answer."""

import importlib.util
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from small_bundle import CLASSIFIER, refuse, rows, succeed
from study_helpers import StudyHarness

from venation.data.progress import listening
from venation.data.synthetic import write_leaves
from venation.storage.attributes import UID
from venation.workers.events import EpochEnds, TrialBegins, TrialEnds
from venation.workers.trackers import MlflowClient, Tracker

KEY = "7be1a2d90f6c4b0f8f1e4d2c3b5a6978-3"
BEGIN = TrialBegins("soy's", 3, {"train.lr": 0.5}, 2, KEY)
EPOCHS = [EpochEnds(n, 1.5 - n, "accuracy", n / 4, 1.0, "", {"accuracy": n / 4, "iou/a:b": 0.5}) for n in (1, 2)]
END = TrialEnds("soy's", 3, "COMPLETE", (0.5, 7.0), {"accuracy": 0.5, "latency": float("inf")})


class Recording:
    """A client that keeps its calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def begin(self, trial: TrialBegins) -> None:
        self.calls.append(("begin", trial.number))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.calls.append((step, dict(metrics)))

    def end(self, state: str, values: Mapping[str, float]) -> None:
        self.calls.append((state, dict(values)))


def tell(tracker: Tracker, *events: object) -> None:
    for event in events:
        tracker(event)
    tracker.close()


def test_a_client_hears_of_params_epochs_and_final_values() -> None:
    client = Recording()
    fold = EpochEnds(1, 0.25, "accuracy", 0.5, 1.0, "fold 1/2", {"accuracy": 0.5})
    tell(Tracker("x", client), EPOCHS[0], "other", BEGIN, *EPOCHS, END, BEGIN, fold)
    assert client.calls == [
        ("begin", 3),
        (1, {"loss": 0.5, "accuracy": 0.25, "iou/a_b": 0.5}),
        (2, {"loss": -0.5, "accuracy": 0.5, "iou/a_b": 0.5}),
        ("COMPLETE", {"value": 0.5, "value/2": 7.0, "final/accuracy": 0.5}),
        ("begin", 3),
        (1, {"fold 1 of 2/loss": 0.25, "fold 1 of 2/accuracy": 0.5}),
        # A trial that was handed back, or waits at a rung, has no end.
        ("PAUSED", {}),
    ]


def test_a_client_that_fails_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recording):
        def log(self, metrics: Mapping[str, float], step: int) -> None:
            raise RuntimeError("no route to http://ada:secret@host\nsecond line")

    client = Broken()
    with caplog.at_level(logging.WARNING):
        tell(Tracker("--mlflow", client), BEGIN, *EPOCHS, END)
    (record,) = caplog.records
    line = record.getMessage()
    assert "--mlflow failed (RuntimeError" in line and "the trials go on" in line and "\n" not in line
    assert client.calls[-1][0] == "COMPLETE"  # type: ignore[index]


def test_a_service_that_does_not_answer_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    answers = Event()

    class Slow(Recording):
        def begin(self, trial: TrialBegins) -> None:
            answers.wait(60)

    tracker = Tracker("--wandb", Slow())
    for event in (BEGIN, *EPOCHS, END):
        tracker(event)
    tracker.close(0.01)
    assert "--wandb has not answered" in caplog.text
    answers.set()
    tracker._thread.join(60)


def table(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_stores_a_trial_and_goes_on_with_it(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    path = tmp_path / "mlflow.db"
    tell(Tracker("--mlflow", MlflowClient(f"sqlite:///{path}")), BEGIN, EPOCHS[0])
    assert table(path, "select status from runs") == [("KILLED",)]
    tell(Tracker("--mlflow", MlflowClient(f"sqlite:///{path}")), BEGIN, EPOCHS[1], END)
    assert table(path, "select status, name from runs") == [("FINISHED", "soy's 3")]
    assert table(path, "select key, value from params") == [("train.lr", "0.5")]
    metrics = set(table(path, "select key, value, step from metrics"))
    assert {("loss", 0.5, 1), ("loss", -0.5, 2), ("accuracy", 0.5, 2), ("value", 0.5, 0)} <= metrics
    tags = dict(table(path, "select key, value from tags"))  # type: ignore[arg-type]
    assert (tags["venation.study"], tags["venation.trial"], tags["venation.state"]) == ("soy's", "3", "COMPLETE")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_studies_of_one_name_in_two_databases_have_runs_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    path = tmp_path / "mlflow.db"
    for key in (KEY, KEY.replace("7", "8")):
        tell(Tracker("--mlflow", MlflowClient(f"sqlite:///{path}")), replace(BEGIN, key=key), EPOCHS[0], END)
    assert table(path, "select count(*) from runs") == [(2,)]


def test_the_key_of_a_trial_is_that_of_its_study(harness: StudyHarness) -> None:
    handle, heard = harness.create(trials=1), list[object]()
    # Another database has a study of the same name and id, but never of the same identity.
    other = "0123456789abcdef0123456789abcdef"
    assert UID.need(handle.study) != other
    UID.set(handle.study, other)
    with listening(heard.append):
        harness.work(handle)
    assert [event.key for event in heard if isinstance(event, TrialBegins)] == [f"{other}-0"]


@pytest.mark.slow
def test_wandb_stores_a_trial_offline(tmp_path: Path) -> None:
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    code = f"""
import sys
sys.path[:] = {[str(Path(__file__).parent), *sys.path]!r}
from test_trackers import BEGIN, END, EPOCHS, Tracker, tell
from venation.workers.trackers import WandbClient
tell(Tracker("--wandb", WandbClient("leaves")), BEGIN, *EPOCHS, END)
"""
    own = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path)}
    # The files are complete when the process has ended.
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 0 and "failed" not in done.stderr, done.stderr
    (stored,) = tmp_path.rglob("*.wandb")
    content = stored.read_bytes()
    assert stored.name == f"run-{KEY}.wandb"
    for text in ("leaves", "train.lr", "soy's 3", "accuracy", "final/accuracy", "COMPLETE"):
        assert text.encode() in content, text


@pytest.mark.filterwarnings("ignore")
def test_a_worker_writes_its_trials_to_mlflow(_server: str, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    write_leaves(tmp_path / "leaves", classes=3, images=6, size=40, seed=3)
    succeed(
        "study", "create", "followed", "--kind", "classifier", "--data", tmp_path / "leaves", "--trials", 1, *CLASSIFIER
    )
    path = tmp_path / "mlflow.db"
    succeed("worker", "followed", "--until-idle", "--device", "cpu", "--mlflow", f"sqlite:///{path}")
    (trial,) = rows("study", "trials", "followed")
    assert table(path, "select value from metrics where key = 'value'") == [(trial["value"],)]
    assert table(path, "select name from experiments where name = 'followed'")
    steps = table(path, "select step from metrics where key = 'logloss'")
    assert steps == [(1,)]


def test_a_service_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import venation.commands.tracking as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name, value in (("mlflow", "sqlite:///x.db"), ("wandb", "leaves")):
        refuse(1, "worker", "soy", f"--{name}", value, says=(f"--{name}", f'pip install "venation[{name}]"'))
