"""ASHA: the rule against the paper's algorithm, and pauses and promotions in PostgreSQL."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from rung_helpers import RUNGS, claim_next, report_curve
from study_helpers import StudyHarness
from typer.testing import CliRunner

from venation.cli import app
from venation.errors import UsageError
from venation.leases.budget import count_states, is_finished
from venation.leases.claim import claim, prune_paused
from venation.leases.lease import Lease
from venation.leases.promotion import promote_or_pause
from venation.search.asha import Paused, RungScores, best_after, promotable, rung_epochs
from venation.search.windowed_sampler import WindowedSampler
from venation.studies.registry import open_study, trial_row


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
    """Return the trial to promote and its rung: ``get_job`` of arXiv 1810.05934, algorithm 2."""
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
        mine = promotable([RungScores(n, tuple(scores[n]), passed[n]) for n in scores], eta)
        expected = []
        while (job := asha_job(rungs, promoted, eta)) is not None:
            expected.append(job[0])
            promoted[job[1]].add(job[0])
        assert mine == expected


def test_the_recipe_always_goes_on_and_at_the_end_the_best_of_each_rung() -> None:
    low, high = RungScores(0, (0.1,), 0), RungScores(1, (0.2,), 0)
    assert promotable([low, high], 3) == [0]
    assert promotable([high], 3) == []
    assert promotable([high, RungScores(2, (0.3,), 0)], 3, last=True) == [2]
    assert promotable([high, RungScores(2, (0.3,), 1)], 3, last=True) == [], "the best has gone on already"


def test_of_equal_scores_the_lower_tie_break_is_promoted() -> None:
    equal = [RungScores(number, (0.5,), 0, (tie,)) for number, tie in ((1, 0.9), (2, 0.3), (3, 0.7), (4, 0.3))]
    assert promotable([*equal, RungScores(5, (0.5,), 0), RungScores(6, (0.4,), 0, (0.1,))], 3) == [2, 4]
    # The best value counts first, and the tie-break is that of the weights that a trial would keep.
    curve = [(0.5, 0.9), (0.6, 0.8), (0.6, 0.4), (0.6, 0.6), (0.2, 0.1)]
    assert best_after(curve, 5, (1,)) == (0.6, 0.4) and best_after(curve, 2, (1,)) == (0.6, 0.8)
    assert best_after(curve, 5, (-1,)) == (0.2, 0.1)


@dataclass
class Paper:
    """The search of the paper, with one list a rung: the reference for the database."""

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
def test_three_workers_in_any_order_promote_as_the_paper_does(harness: StudyHarness, objective: str) -> None:
    trials, epochs = 11, 5
    handle = harness.create(trials=trials, objective=objective, settings={"train.epochs": epochs}, **RUNGS)
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
            promote_or_pause(lease, done[number])
        else:
            with pytest.raises(Paused, match=f"paused at rung {rung + 1} of 2, after {done[number]} epochs"):
                promote_or_pause(lease, done[number])
        if done[number] == epochs:
            lease.end(TrialState.COMPLETE, curves[number].max())
        if not goes_on or done[number] == epochs:
            leases[place] = None
            del paper.running[number]
    left = prune_paused(handle)
    assert is_finished(handle) and prune_paused(handle) == []
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


def test_a_paused_trial_says_where_it_waits_until_it_is_promoted(harness: StudyHarness) -> None:
    handle = harness.create(trials=5, settings={"train.epochs": 3}, eta=2, **RUNGS)
    assert report_curve(claim_next(handle), [0.5]), "trial 0, the recipe, goes on"
    assert not report_curve(claim_next(handle), [0.4])
    row = trial_row(handle.study.trials[1])
    assert (row["state"], row["cause"]) == ("WAITING", "paused at rung 1, after 1 epochs, with 0.4")
    assert not report_curve(claim_next(handle), [0.3])
    assert not report_curve(claim_next(handle), [0.2])
    promoted = claim_next(handle)
    assert promoted.trial.number == 1, "2 of 4 may go on, and 0 has"
    assert trial_row(handle.study.trials[1])["cause"] is None
    promoted.end(TrialState.FAIL, cause="nan: the loss became nan")
    # 1 is out of the reckoning: of 3 that reached the rung one may go on, and has.
    assert claim_next(handle).trial.number == 4


def test_a_promoted_trial_that_was_handed_back_is_claimed_first(harness: StudyHarness) -> None:
    handle = harness.create(trials=9, settings={"train.epochs": 9}, **RUNGS)
    first = claim_next(handle)
    assert report_curve(first, [0.5, 0.5])
    for _ in range(2):
        assert not report_curve(claim_next(handle), [0.4])
    first.end(TrialState.WAITING)
    assert claim_next(handle).trial.number == 0
    harness.silence()
    assert claim_next(handle).trial.number == 0, "a dead worker's too"


def test_the_sampler_learns_from_paused_trials_as_from_pruned_ones(harness: StudyHarness) -> None:
    handle = harness.create(trials=30)
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
        ("paused", handle.study, WindowedSampler(optuna.samplers.TPESampler(seed=5))),
        ("pruned", known, optuna.samplers.TPESampler(seed=5)),
        ("blind", handle.study, optuna.samplers.TPESampler(seed=5)),
    ):
        frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
        draws[name] = sampler.sample_independent(study, frozen, "x", optuna.distributions.FloatDistribution(0, 1))
    assert draws["paused"] == draws["pruned"] != draws["blind"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pruner": "asha", "first_rung": 9}, "the first rung must come before the last epoch, but got first_rung=9"),
        ({"pruner": "asha", "eta": 1}, "`eta` = 1: input should be greater than or equal to 2"),
        ({"pruner": "ladder"}, "`pruner` = 'ladder': input should be 'median', 'hyperband', 'asha'"),
    ],
)
def test_invalid_rungs_are_rejected(harness: StudyHarness, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        harness.create(settings={"train.epochs": 9}, **options)


def test_a_study_file_sets_the_rungs(harness: StudyHarness, postgres_url: str, tmp_path: Path) -> None:
    file = tmp_path / "soy.yaml"
    file.write_text(
        f"name: soy\nkind: classifier\ndata: {harness.data}\npruner: asha\neta: 2\nfirst_rung: 3\n"
        "set: {encoder.name: test_resnet, encoder.weights: none, data.size: 32, train.epochs: 13}\n"
    )
    places = ["--storage", postgres_url, "--artifacts", str(harness.artifacts.folder)]
    made = CliRunner().invoke(app, ["study", "create", "-f", str(file), *places])
    assert made.exit_code == 0, made.output
    assert open_study(harness.storage, "soy").spec.rungs == (3, 6, 12)
    other = CliRunner().invoke(app, ["study", "create", "-f", str(file), "--eta", "3", *places])
    assert other.exit_code == 1 and "(eta: 2 -> 3)" in other.output


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_a_booster_study_has_no_rungs(harness: StudyHarness, pruner: str) -> None:
    harness.create("soy")
    with pytest.raises(UsageError, match=f"pruner {pruner} counts epochs, and a booster study has none"):
        harness.create("boost", "booster", base="soy", pruner=pruner)
