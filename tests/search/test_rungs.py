"""Rungs: the rule against the paper's algorithm, pauses and promotions on a real PostgreSQL, workers that die there."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from search_desk import Desk, Pause, WorkerProcess
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UsageError, UserError
from venation.search import ladder, worker
from venation.search.lease import Lease, StudyHandle, claim, count_states, end_paused, is_finished
from venation.search.objective import Result
from venation.search.paused_sampler import PausedSampler
from venation.search.rungs import Paused, Standing, promotable, rung_epochs
from venation.search.studies import checkpoint_id, delete_study, open_study, trial_row
from venation.storage.artifacts import get_file, write_blob

RUNGS: dict[str, Any] = {"pruner": "rungs", "first_rung": 1, "sampler": "random"}

_OPEN = """
from optuna.trial import TrialState
from venation.search.ladder import climb
from venation.search.lease import claim, end_paused
from venation.search.rungs import Paused
from venation.search.studies import open_study
from venation.storage.database import open_storage
handle = open_study(open_storage({url!r}), "soy")
"""
_RUN_ALL = """
while (lease := claim(handle, max_losses=3)) is not None or end_paused(handle):
    if lease is None:
        continue
    number, known = lease.trial.number, handle.storage.get_trial(lease.trial_id).intermediate_values
    try:
        with lease:
            for epoch in range(len(known), 9):
                lease.trial.report(number * 7 % 11 + epoch, epoch)
                if epoch < 8:
                    climb(lease, epoch + 1)
            lease.end(TrialState.COMPLETE, number * 7 % 11 + 9.0)
    except Paused:
        print("paused", number)
"""
_REPORT_AND_HANG = """
import threading
with claim(handle, max_losses=3) as lease:
    lease.trial.report(0.25, 0)
    threading.Event().wait()
"""


def take(handle: StudyHandle) -> Lease:
    lease = claim(handle, max_losses=3)
    assert lease is not None
    return lease


def climb(lease: Lease, curve: list[float]) -> bool:
    """Train to the end of ``curve``; False if the trial was paused on the way."""
    for epoch in range(len(lease.handle.storage.get_trial(lease.trial_id).intermediate_values), len(curve)):
        lease.trial.report(curve[epoch], epoch)
        try:
            ladder.climb(lease, epoch + 1)
        except Paused:
            return False
    return True


@pytest.mark.parametrize(
    ("first", "eta", "epochs", "expected"),
    [
        (1, 3, 27, (1, 3, 9)),
        (1, 3, 28, (1, 3, 9, 27)),
        (2, 4, 40, (2, 8, 32)),
        (None, 3, 40, (4, 12, 36)),
        (None, 3, 4, (1, 3)),
        (None, 3, 1, ()),
    ],
)
def test_where_the_rungs_are(first: int | None, eta: int, epochs: int, expected: tuple[int, ...]) -> None:
    assert rung_epochs(first, eta, epochs) == expected


def asha_job(rungs: list[list[tuple[float, int]]], promoted: list[set[int]], eta: int) -> tuple[int, int] | None:
    """Algorithm 2 of arXiv 1810.05934, ``get_job``, in plain loops: the trial to promote and its rung, if any."""
    for k in range(len(rungs) - 1, -1, -1):
        best_first = sorted(rungs[k], key=lambda entry: (-entry[0], entry[1]))
        candidates = [number for _, number in best_first[: len(rungs[k]) // eta]]
        for number in candidates:
            if number not in promoted[k]:
                return number, k
    return None


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_the_rule_is_the_paper_s(eta: int) -> None:
    rng = random.Random(eta)
    for _ in range(200):
        reached = [rng.choice([0, 1, 1, 1, 2, 2, 3]) for _ in range(rng.randrange(1, 25))]
        # Numbers from 1 on: trial 0 is the one exception. Few values, so that there are ties.
        scores = {n: [rng.choice([0.1, 0.2, 0.3, 0.4]) for _ in range(k)] for n, k in enumerate(reached, 1)}
        passed = {n: max(0, len(s) - rng.randrange(2)) for n, s in scores.items()}
        rungs = [[(s[k], n) for n, s in scores.items() if len(s) > k] for k in range(3)]
        promoted = [{n for n in scores if passed[n] > k} for k in range(3)]
        mine = promotable([Standing(n, tuple(scores[n]), passed[n]) for n in scores], eta)
        expected = []
        while (job := asha_job(rungs, promoted, eta)) is not None:
            expected.append(job[0])
            promoted[job[1]].add(job[0])
        assert mine == expected


def test_the_recipe_always_goes_on_and_at_the_end_the_best_of_each_rung() -> None:
    low, high = Standing(0, (0.1,), 0), Standing(1, (0.2,), 0)
    assert promotable([low, high], 3) == [0]
    assert promotable([high], 3) == []
    assert promotable([high, Standing(2, (0.3,), 0)], 3, last=True) == [2]
    assert promotable([high, Standing(2, (0.3,), 1)], 3, last=True) == [], "the best has gone on already"


@dataclass
class Paper:
    """The search as the paper has it, with one list a rung; the state that the database must agree with."""

    eta: int
    height: int
    rungs: list[list[tuple[float, int]]] = field(default_factory=list)
    promoted: list[set[int]] = field(default_factory=list)
    running: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rungs = [[] for _ in range(self.height)]
        self.promoted = [set() for _ in range(self.height)]

    def ask(self, new: int | None) -> int | None:
        job = asha_job(self.rungs, self.promoted, self.eta)
        if job is None and new is None and not self.running:
            job = self._leader()
        if job is not None:
            self.promoted[job[1]].add(job[0])
            return job[0]
        return new

    def _leader(self) -> tuple[int, int] | None:
        for k in range(self.height - 1, -1, -1):
            if self.rungs[k]:
                leader = min(self.rungs[k], key=lambda entry: (-entry[0], entry[1]))[1]
                if leader not in self.promoted[k]:
                    return leader, k
        return None

    def reach(self, number: int, rung: int, score: float) -> bool:
        self.rungs[rung].append((score, number))
        best = sorted(self.rungs[rung], key=lambda entry: (-entry[0], entry[1]))
        goes_on = number == 0 or number in [n for _, n in best[: len(best) // self.eta]]
        if goes_on:
            self.promoted[rung].add(number)
        return goes_on


@pytest.mark.parametrize("objective", ["accuracy", "logloss"])
def test_three_workers_in_any_order_do_what_the_paper_says(desk: Desk, objective: str) -> None:
    trials, epochs = 11, 5
    handle = desk.create(trials=trials, objective=objective, settings={"train.epochs": epochs}, **RUNGS)
    assert handle.spec.rungs == (1, 3)
    sign = 1 if objective == "accuracy" else -1
    curves = np.random.default_rng(3).random((trials, epochs)).round(2)
    paper, rng = Paper(eta=3, height=2), random.Random(4)
    leases: dict[int, Lease | None] = dict.fromkeys(range(3))
    created = idle = 0
    done = [0] * trials
    while idle < 20:
        place = rng.randrange(3)
        lease = leases[place]
        if lease is None:
            expected = paper.ask(created if created < trials else None)
            lease = leases[place] = claim(handle, max_losses=3)
            assert (lease and lease.trial.number) == expected
            idle = 0 if lease else idle + 1
            if lease:
                created += lease.trial.number == created
                paper.running[lease.trial.number] = place
            continue
        number = lease.trial.number
        lease.trial.report(curves[number, done[number]], done[number])
        done[number] += 1
        goes_on = True
        if done[number] in handle.spec.rungs:
            rung = handle.spec.rungs.index(done[number])
            goes_on = paper.reach(number, rung, max(sign * curves[number, : done[number]]))
        if goes_on:
            ladder.climb(lease, done[number])
        else:
            with pytest.raises(Paused, match=f"paused at rung {rung + 1} of 2, after {done[number]} epochs"):
                ladder.climb(lease, done[number])
        if done[number] == epochs:
            lease.end(TrialState.COMPLETE, curves[number].max())
        if not goes_on or done[number] == epochs:
            leases[place] = None
            del paper.running[number]
    left = end_paused(handle)
    assert is_finished(handle) and end_paused(handle) == []
    trials_now = handle.study.get_trials()
    assert [len(trial.intermediate_values) for trial in trials_now] == done
    assert [n for n in range(trials) if done[n] < epochs] == left
    assert count_states(handle) == {TrialState.COMPLETE: trials - len(left), TrialState.PRUNED: len(left)}
    assert trials_now[0].state == TrialState.COMPLETE and len(left) > trials / 2
    last = trials_now[left[0]]
    assert last.value == last.intermediate_values[last.last_step]
    assert trial_row(last)["cause"].startswith(
        f"rung {1 + (len(last.intermediate_values) > 1)}: not among the best 1/3"
    )


def test_a_paused_trial_says_where_it_waits_until_it_is_promoted(desk: Desk) -> None:
    handle = desk.create(trials=5, settings={"train.epochs": 3}, eta=2, **RUNGS)
    assert climb(take(handle), [0.5]), "trial 0, the recipe, goes on"
    assert not climb(take(handle), [0.4])
    row = trial_row(handle.study.trials[1])
    assert (row["state"], row["cause"]) == ("WAITING", "paused at rung 1, after 1 epochs, with 0.4")
    assert not climb(take(handle), [0.3])
    assert not climb(take(handle), [0.2])
    promoted = take(handle)
    assert promoted.trial.number == 1, "2 of 4 may go on, and 0 has"
    assert trial_row(handle.study.trials[1])["cause"] is None
    promoted.end(TrialState.FAIL, cause="nan: the loss became nan")
    # 1 is out of the reckoning: of 3 that reached the rung one may go on, and has.
    assert take(handle).trial.number == 4


def test_what_was_promoted_and_handed_back_comes_before_all_else(desk: Desk) -> None:
    handle = desk.create(trials=9, settings={"train.epochs": 9}, **RUNGS)
    first = take(handle)
    assert climb(first, [0.5, 0.5])
    for _ in range(2):
        assert not climb(take(handle), [0.4])
    first.end(TrialState.WAITING)
    assert take(handle).trial.number == 0
    desk.silence()
    assert take(handle).trial.number == 0, "a dead worker's too"


def test_a_worker_killed_at_a_rung_leaves_a_paused_trial(
    desk: Desk, start_python: Callable[[str], WorkerProcess], postgres_url: str
) -> None:
    handle = desk.create(trials=4, settings={"train.epochs": 9}, **RUNGS)
    assert climb(take(handle), [0.5])
    process = start_python(_OPEN.format(url=postgres_url) + _REPORT_AND_HANG)
    process.wait_until(lambda: len(handle.study.trials) == 2 and bool(handle.study.trials[1].intermediate_values))
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    desk.sql("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour' WHERE trial_id = 2")
    second = take(handle)
    assert second.trial.number == 2, "trial 1 reached the rung with 0.25, and is not the best of two"
    assert not climb(second, [0.2])
    assert not climb(take(handle), [0.1])
    assert count_states(handle) == {TrialState.RUNNING: 1, TrialState.WAITING: 3}
    assert claim(handle, max_losses=3) is None, "1 of 4 may go on, and trial 0 has"
    assert end_paused(handle) == [], "trial 0 may yet fail"
    desk.silence()
    again = take(handle)
    assert again.trial.number == 0
    again.end(TrialState.FAIL)
    promoted = take(handle)
    assert promoted.trial.number == 1, "the best of those that are left"
    promoted.end(TrialState.COMPLETE, 0.25)
    assert claim(handle, max_losses=3) is None
    assert end_paused(handle) == [2, 3] and is_finished(handle)


def test_processes_share_a_budget_exactly_one_of_them_killed(
    desk: Desk, start_python: Callable[[str], WorkerProcess], postgres_url: str, pause_at: Callable[[int], Pause]
) -> None:
    handle = desk.create(trials=11, settings={"train.epochs": 9}, **RUNGS)
    pause = pause_at(4)
    victim = start_python(_OPEN.format(url=postgres_url) + _RUN_ALL)
    pause.wait(victim)
    victim.send(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    pause.release()
    desk.silence()
    workers = [start_python(_OPEN.format(url=postgres_url) + _RUN_ALL) for _ in range(3)]
    assert [process.wait() for process in workers] == [0, 0, 0], [process.log.read_text() for process in workers]
    assert is_finished(handle)
    states = count_states(handle)
    assert sum(states.values()) == 11 and states.keys() == {TrialState.COMPLETE, TrialState.PRUNED}
    best = handle.study.best_trial
    # 7 n mod 11 is a permutation of 0..10: trial 3 has 10.
    assert (best.number, best.value) == (3, 19.0)


def test_a_worker_alone_ends_the_study_and_removes_every_checkpoint(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "state").write_bytes(b"state")

    def run_trial(bench: Any, lease: Lease, _check: Callable[[], None]) -> Result:
        number = lease.trial.number
        write_blob(desk.artifacts, checkpoint_id(bench.handle, number), tmp_path / "state")
        if not climb(lease, [number * 7 % 13 / 13] * 8):
            raise Paused
        return Result(number * 7 % 13 / 13, {}, ())

    monkeypatch.setattr(worker, "run_trial", run_trial)
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.01)
    handle = desk.create(trials=13, settings={"train.epochs": 9}, **RUNGS)
    assert desk.work(handle) == 13
    assert sum(count_states(handle).values()) == 13 and is_finished(handle)
    assert handle.study.best_value == 12 / 13
    assert not list(desk.artifacts.folder.glob("*-checkpoint"))
    epochs = sum(len(trial.intermediate_values) for trial in handle.study.trials)
    assert epochs < 13 * 9 / 2


def weights(desk: Desk, handle: StudyHandle, number: int, to: Path) -> bytes:
    trial = handle.study.get_trials()[number]
    return get_file(desk.artifacts, trial, "weights.safetensors", to=to, storage=handle.storage).read_bytes()


def test_what_was_paused_at_every_rung_ends_as_if_it_had_never_been(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def everybody_waits(standings: Any, eta: int, *, last: bool = False) -> list[int]:
        return [standing.number for standing in standings if standing.stands and last]

    caplog.set_level("INFO")
    monkeypatch.setattr(ladder, "promotable", everybody_waits)
    options = {"trials": 2, "settings": {"train.epochs": 4}}
    handle = desk.create(eta=2, **RUNGS, **options)
    assert handle.spec.rungs == (1, 2)
    assert desk.work(handle) == 2
    for number in range(2):
        for rung, epochs in ((1, 1), (2, 2)):
            assert f"study soy trial {number}: paused at rung {rung} of 2, after {epochs} epochs" in caplog.text
    assert caplog.text.count(": resumed") == 4
    assert caplog.text.count(": epoch ") == 2 * 4, "no epoch was run twice"
    calm = desk.create("calm", sampler="random", **options)
    assert desk.work(calm) == 2
    for number in range(2):
        paused, undisturbed = handle.study.trials[number], calm.study.trials[number]
        assert paused.params == undisturbed.params
        assert paused.intermediate_values == undisturbed.intermediate_values
        assert paused.user_attrs["metrics"] == undisturbed.user_attrs["metrics"]
        assert weights(desk, handle, number, tmp_path) == weights(desk, calm, number, tmp_path)
    assert not list(desk.artifacts.folder.glob("*-checkpoint"))


def test_a_worker_killed_after_a_promotion_is_succeeded_by_any_other(
    desk: Desk, start_worker: Callable[..., WorkerProcess], pause_at: Callable[[int], Pause], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"trials": 3, "heartbeat": 0.25, "settings": {"train.epochs": 4}}
    handle = desk.create(eta=2, **RUNGS, **options)
    pause = pause_at(2)
    process = start_worker("soy")
    pause.wait(process)
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    pause.release()
    assert desk.work(handle) == 3
    assert sum(count_states(handle).values()) == 3 and is_finished(handle)
    calm = desk.create("calm", sampler="random", **options)
    desk.work(calm)
    for trial, undisturbed in zip(handle.study.trials, calm.study.trials, strict=True):
        length = len(trial.intermediate_values)
        assert trial.intermediate_values == {e: undisturbed.intermediate_values[e] for e in range(length)}
        if trial.state == TrialState.COMPLETE:
            same = [weights(desk, each, trial.number, tmp_path) for each in (handle, calm)]
            assert same[0] == same[1]
    assert handle.study.trials[0].state == TrialState.COMPLETE


def test_the_sampler_learns_from_paused_trials_as_from_pruned_ones(desk: Desk) -> None:
    handle = desk.create(trials=30)
    known = optuna.create_study(direction="maximize")
    for state, study in ((TrialState.WAITING, handle.study), (TrialState.PRUNED, known)):
        rng = np.random.default_rng(0)
        for _ in range(20):
            x = float(rng.uniform(0, 1))
            trial = optuna.trial.create_trial(
                state=state,
                params={"x": x},
                distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
                intermediate_values={0: -((x - 0.3) ** 2)},
            )
            study.add_trial(trial)
    draws = {}
    for name, study, sampler in (
        ("paused", handle.study, PausedSampler(optuna.samplers.TPESampler(seed=5))),
        ("pruned", known, optuna.samplers.TPESampler(seed=5)),
        ("blind", handle.study, optuna.samplers.TPESampler(seed=5)),
    ):
        frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
        draws[name] = sampler.sample_independent(study, frozen, "x", optuna.distributions.FloatDistribution(0, 1))
    assert draws["paused"] == draws["pruned"] != draws["blind"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruner": "rungs", "first_rung": 9}, "the first rung must come before the last epoch, but got first_rung=9"),
        ({"pruner": "rungs", "eta": 1}, "`eta` = 1: input should be greater than or equal to 2"),
        ({"pruner": "ladder"}, "`pruner` = 'ladder': input should be 'median', 'hyperband', 'rungs'"),
    ],
)
def test_rungs_that_cannot_be_are_refused(desk: Desk, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        desk.create(settings={"train.epochs": 9}, **options)


def test_a_study_file_sets_the_rungs(desk: Desk, postgres_url: str, tmp_path: Path) -> None:
    file = tmp_path / "soy.yaml"
    file.write_text(
        f"name: soy\nkind: classifier\ndata: {desk.data}\npruner: rungs\neta: 2\nfirst_rung: 3\n"
        "set: {encoder.name: test_resnet, data.size: 32, train.epochs: 13}\n"
    )
    places = ["--storage", postgres_url, "--artifacts", str(desk.artifacts.folder)]
    made = CliRunner().invoke(app, ["study", "create", "-f", str(file), *places])
    assert made.exit_code == 0, made.output
    assert open_study(desk.storage, "soy").spec.rungs == (3, 6, 12)
    other = CliRunner().invoke(app, ["study", "create", "-f", str(file), "--eta", "3", *places])
    assert other.exit_code == 1 and "(eta: 2 -> 3)" in other.output


@pytest.mark.parametrize("pruner", ["rungs", "hyperband"])
def test_a_booster_study_has_no_rungs(desk: Desk, pruner: str) -> None:
    desk.create("soy")
    with pytest.raises(UsageError, match=f"pruner {pruner} counts epochs, and a booster study has none"):
        desk.create("boost", "booster", base="soy", pruner=pruner)


def test_a_study_deleted_beside_a_worker_ends_no_trial(desk: Desk) -> None:
    handle = desk.create(trials=None, timeout=60.0, settings={"train.epochs": 9}, **RUNGS)
    assert climb(take(handle), [0.1, 0.1, 0.1])
    bench = desk.bench(handle)
    delete_study(desk.storage, "soy", desk.artifacts)
    with pytest.raises(UserError, match="study `soy` was deleted"):
        end_paused(handle)
    assert worker._end_paused(bench) == 0, "deleted between a claim and this"
    with pytest.raises(UserError, match="study `soy` was deleted"):
        worker.work([bench], until_idle=True)
