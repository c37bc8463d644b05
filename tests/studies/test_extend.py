"""A study's budget is changed while processes claim its trials, and after its end."""

import re
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from study_helpers import SETTINGS, StudyHarness, WorkerProcess
from typer.testing import CliRunner

from venation import open_study
from venation.cli import app
from venation.errors import UsageError, UserError
from venation.leases.budget import count_states, is_finished
from venation.leases.claim import claim, prune_paused
from venation.search.handle import StudyHandle
from venation.spaces.space import Choice, Space
from venation.studies.extend import extend_study, why_ended
from venation.studies.starts import add_starts
from venation.studies.summary import progress
from venation.trials.trial_config import TrialConfig

# Opens the study once, with its first budget, and claims until the last budget is reached.
_CLAIM = """
from optuna.trial import TrialState
from venation.leases.budget import count_states
from venation.leases.claim import claim
from venation.studies.registry import open_study
from venation.storage.database import open_storage
handle = open_study(open_storage({url!r}), "soy")
while count_states(handle).get(TrialState.COMPLETE, 0) < {last}:
    if (lease := claim(handle, max_losses=3)) is not None:
        lease.end(TrialState.COMPLETE, 0.5)
        print(lease.trial.number)
"""


def end_all(handle: StudyHandle) -> int:
    ended = 0
    while (lease := claim(handle, max_losses=3)) is not None:
        lease.end(TrialState.COMPLETE, 0.5)
        ended += 1
    return ended


def test_running_processes_meet_each_new_budget_exactly(
    harness: StudyHarness, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    handle = harness.create(trials=6)
    workers = [start_python(_CLAIM.format(url=postgres_url, last=19)) for _ in range(4)]
    for trials in (13, 19):
        # The workers have used up the old budget, and still ask.
        workers[0].wait_until(lambda: is_finished(handle))
        extend_study(handle, trials=trials)
    assert [process.wait() for process in workers] == [0] * 4, [each.log.read_text() for each in workers]
    ended = Counter(line for process in workers for line in process.log.read_text().splitlines())
    assert ended == Counter(map(str, range(19))), "each number once"
    assert is_finished(handle) and count_states(handle) == {TrialState.COMPLETE: 19}


def test_an_ended_study_goes_on_and_is_never_cut(harness: StudyHarness) -> None:
    handle = harness.create(trials=3)
    assert end_all(handle) == 3 and is_finished(handle)
    longer = extend_study(handle, trials=5)
    assert longer.spec.trials == 5 and not is_finished(handle)
    assert end_all(handle) == 2, "an open handle counts by the database too"
    with pytest.raises(UserError, match="--trials 4 is below the 5 trials that study `soy` has already; give 5") as no:
        extend_study(handle, trials=4)
    assert "\n" not in str(no.value)
    assert extend_study(longer, trials=5).spec == longer.spec, "the same budget changes nothing"
    with pytest.raises(UsageError, match="needs a new budget: give --trials, --timeout or both"):
        extend_study(handle)
    with pytest.raises(UsageError, match="`timeout` = -1.0"):
        extend_study(handle, trials=6, timeout=-1.0)
    assert is_finished(handle), "nothing of a refused budget is stored"


def test_a_handle_from_before_names_the_new_budget(harness: StudyHarness) -> None:
    handle = harness.create(trials=2)
    extend_study(handle, trials=5)
    assert progress(handle).startswith("0 of 5 trials")


def test_the_timeout_counts_from_the_first_claim(harness: StudyHarness) -> None:
    handle = harness.create(trials=None, timeout=1000.0)
    harness.end_next(handle, TrialState.COMPLETE, 0.5)
    harness.sql("UPDATE study_user_attributes SET value_json = '1000' WHERE key = 'started'")
    assert claim(handle, max_losses=3) is None and is_finished(handle)
    with pytest.raises(UserError, match=r"--timeout 2000 is over: study `soy` began \d+ s ago"):
        extend_study(handle, timeout=2000)
    ended = extend_study(handle, trials=2)
    assert re.fullmatch(r"its timeout of 1000 s ended \d+ s ago; raise --timeout", str(why_ended(ended)))
    assert why_ended(extend_study(handle, timeout=1e12)) is None
    assert end_all(handle) == 1
    assert why_ended(handle) == "the study has its 2 trials; raise --trials"


def test_starts_that_had_no_room_come_with_the_new_budget(harness: StudyHarness) -> None:
    harness.create()
    alone = harness.create("boost", "booster", base="soy", trials=1)
    starts = len(alone.spec.starts)
    extend_study(alone, trials=starts + 1)
    whole = harness.create("whole", "booster", base="soy", trials=starts + 1)
    queued = [[trial.system_attrs["fixed_params"] for trial in each.study.trials] for each in (alone, whole)]
    assert queued[0] == queued[1] and len(queued[0]) == starts + 1 > 1


def test_paused_trials_stay_pruned_and_new_ones_start(harness: StudyHarness) -> None:
    handle = harness.create(trials=2, pruner="asha", first_rung=1, settings={"train.epochs": 9})
    for number in range(2):
        lease = claim(handle, max_losses=3)
        assert lease is not None and lease.trial.number == number
        lease.trial.report(0.5, 0)
        if number:
            lease.end(TrialState.WAITING)
        else:
            lease.end(TrialState.COMPLETE, 0.5)
    assert prune_paused(handle) == [1] and is_finished(handle)
    extend_study(handle, trials=3)
    lease = claim(handle, max_losses=3)
    assert lease is not None and lease.trial.number == 2 and handle.study.trials[1].state == TrialState.PRUNED


def test_a_one_shot_study_keeps_its_length(harness: StudyHarness) -> None:
    harness.create()
    shot = harness.create("shot", "decoder", base="soy", search="oneshot", preset="mnsa", trials=9)
    with pytest.raises(UserError, match="`shot` is a one-shot study: its budget is divided"):
        extend_study(shot, trials=12)


def test_creating_again_names_the_command(harness: StudyHarness, postgres_url: str) -> None:
    harness.create(trials=5)
    with pytest.raises(UserError, match=r"another budget \(trials: 5 -> 6\); `venation study extend soy` changes it"):
        harness.create(trials=6)
    places = ["--storage", postgres_url, "--artifacts", str(harness.artifacts.folder)]
    extended = CliRunner().invoke(app, ["study", "extend", "soy", "--trials", "6", "--storage", postgres_url])
    assert extended.exit_code == 0 and extended.stdout == "soy: trials 6\n", extended.output
    words = ["study", "create", "soy", "--kind", "classifier", "--data", str(harness.data), "--pruner", "none"]
    for name, value in SETTINGS.items():
        words += ["--set", f"{name}={value}"]
    again = CliRunner().invoke(app, [*words, *places])
    assert again.exit_code == 0 and "exists already" in again.output, "without a budget any will do"
    refused = CliRunner().invoke(app, [*words, "--trials", "5", *places])
    assert refused.exit_code == 1 and "trials: 6 -> 5" in refused.stderr, refused.output
    study = open_study("soy", storage=postgres_url, artifacts=str(harness.artifacts.folder))
    study.extend(trials=7)
    assert study.spec.trials == 7


def test_a_start_that_has_run_takes_no_room_from_the_next() -> None:
    space = Space(
        dimensions=(
            Choice(name="train.batch_size", choices=(4, 8)),
            # The config's own value is not a choice, so it is drawn.
            Choice(name="train.epochs", choices=(101, 102)),
        )
    )
    spec: Any = SimpleNamespace(config=TrialConfig(), space=space, starts=[{"train.batch_size": b} for b in (4, 8)])
    study = optuna.create_study()
    add_starts(study, spec, room=1)
    trial = study.ask()
    space.suggest(trial, spec.config)
    study.tell(trial, 0.5)
    add_starts(study, spec, room=1)
    fixed = [each.system_attrs["fixed_params"] for each in study.get_trials()]
    assert fixed == [{"train.batch_size": 4}, {"train.batch_size": 8}]
