"""A worker on a terminal, its last lines, and `venation top`."""

import io
import logging
import time

import pytest
from rich.console import Console
from small_bundle import SmallBundle, rows, succeed, venation
from study_helpers import StudyHarness

from venation.commands.live_worker import LiveWorker, live_worker
from venation.commands.top import fleet_view
from venation.data.progress import Step
from venation.studies.summary import next_commands
from venation.wording import duration
from venation.workers.events import EpochEnds, TrialBegins, TrialEnds


def drawn(view: object) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_display_shows_trial_epoch_score_rate_and_best(harness: StudyHarness) -> None:
    handle = harness.create(trials=3)
    view = LiveWorker([handle])
    assert "waiting for a trial of soy" in drawn(view)
    view.tell(TrialBegins("soy", 0, {"train.lr": 0.001234567}, 4))
    view.tell(Step("training", 0, 20))
    view.tell(Step("training", 10, 20))
    shown = drawn(view)
    assert "study soy, trial 0" in shown and "train.lr=0.001235" in shown and "0 of 3 trials" in shown
    assert "epoch 1/4" in shown and "training 10/20" in shown and "images/s" in shown and "memory" in shown
    assert "no finished trial yet" in shown
    for epoch, value in ((1, 0.5), (2, 0.25)):
        view.tell(EpochEnds(epoch, 0.75, "accuracy", value, 30.0, ""))
    shown = drawn(view)
    assert "epoch 3/4" in shown and "loss 0.75, accuracy 0.25 (best 0.5)" in shown and "60 s left" in shown
    view.tell(TrialEnds("soy", 0))
    assert "waiting for a trial" in drawn(view)


def test_a_real_worker_draws_and_keeps_its_other_lines(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        console = Console(file=io.StringIO(), width=120, force_terminal=True)
        with live_worker([handle], console) as view:
            assert harness.work(handle) == 2
            assert "2 of 2 trials: 2 complete" in drawn(view) and "best so far: trial" in drawn(view)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    # The end of a trial stays as a line; its epochs do not.
    assert "trial 0: COMPLETE" in lines.getvalue() and "epoch 1/1" not in lines.getvalue()


def test_a_worker_ends_with_results_and_the_next_command(small_bundle: SmallBundle) -> None:
    studies = ("tiny", "tiny-veins", "tiny-boost")
    shown = venation("worker", *studies, "--until-idle", "--device", "cpu").stderr.splitlines()
    assert shown[0] == "0 trials ended" and shown[1].startswith("study tiny: 1 of 1 trial: 1 complete; best trial 0:")
    # One bundle of the studies on a base has the base in it.
    assert shown[4:] == ["next: venation bundle export tiny-veins tiny-boost -o tiny.bundle"]


def test_the_next_commands_of_unfinished_studies_are_workers(harness: StudyHarness) -> None:
    first, second = harness.create(), harness.create("other")
    assert harness.work(first) == 1
    assert next_commands([first, second]) == ["venation bundle export soy -o soy.bundle", "venation worker other"]


def test_top_lists_studies_and_workers_once_in_a_pipe(small_bundle: SmallBundle) -> None:
    studies = succeed("top").split("worker ")[0]
    assert "tiny-veins" in studies and "classifier" in studies
    assert {row["study"] for row in rows("top")["studies"]} >= {"tiny", "tiny-veins", "tiny-boost"}
    assert succeed("top", "--once").split("worker ")[0] == studies


def test_the_fleet_is_drawn_with_bars() -> None:
    study = {"study": "soy", "kind": "classifier", "budget": 20, "running": 1, "complete": 4, "pruned": 1, "fail": 0}
    study |= {"waiting": 0, "best": 0.9123456, "best_trial": 3, "paused": None}
    worker = {"worker": "gpu1:17", "state": "busy", "device": "cuda:0", "study": "soy", "trial": 5, "epoch": 2}
    shown = drawn(fleet_view([study], [worker | {"silent_s": 0.4}]))
    assert "soy" in shown and "5/20" in shown and "0.9123" in shown and "━" in shown
    assert "gpu1:17" in shown and "no worker" not in shown
    assert "no worker is alive" in drawn(fleet_view([study], []))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2541, "0.25 s"), (9.96, "10 s"), (40, "40 s"), (720, "12 min"), (12_600, "3.5 h")]
)
def test_a_duration_has_a_fitting_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_display_ignores_a_study_that_it_does_not_know(harness: StudyHarness) -> None:
    view = LiveWorker([])
    view.tell(TrialBegins("other", 0, {}, 0))
    view.tell(EpochEnds(1, 0.1, "accuracy", 0.5, time.monotonic(), "fold 1/2"))
    assert "study other, trial 0" in drawn(view)
