"""ASHA with several objectives in PostgreSQL against plain loops, and its sampler."""

import random
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from rung_helpers import claim_next
from study_helpers import StudyHarness

from venation.leases.asha_scores import read_standings
from venation.leases.budget import count_states, is_finished
from venation.leases.claim import claim, prune_paused
from venation.leases.lease import Lease
from venation.leases.promotion import promote_or_pause
from venation.search.asha import Paused, reached
from venation.search.handle import StudyHandle
from venation.search.pareto_front import best_first
from venation.storage.attributes import COSTS, CURVES
from venation.storage.database import study_lock
from venation.studies.registry import open_study, trial_row
from venation.workers.reporting import TrialReporter

TWO = ("accuracy", "parameters")
RUNGS: dict[str, Any] = {"pruner": "asha", "first_rung": 1, "sampler": "random"}


def report(lease: Lease, values: list[float], step: int) -> None:
    """Report one epoch of a trial with the objectives accuracy, macro F1 and parameters."""
    storage, trial_id = lease.handle.storage, lease.trial_id
    known = storage.get_trial(trial_id).system_attrs.get(CURVES.key, {}).get("macro_f1", {})
    storage.set_trial_system_attr(trial_id, CURVES.key, {"macro_f1": known | {str(step): values[1]}})
    storage.set_trial_intermediate_value(trial_id, step, values[0])


class Loops:
    """ASHA over Pareto fronts with one list a rung: the reference for the database."""

    def __init__(self, eta: int, height: int) -> None:
        self.eta = eta
        self.rungs: list[dict[int, tuple[float, ...]]] = [{} for _ in range(height)]
        self.promoted: list[set[int]] = [set() for _ in range(height)]
        self.running: set[int] = set()

    def ranked(self, rung: int) -> list[int]:
        """The numbers of those who reached a rung, best first, the earlier of equals first."""
        numbers = sorted(self.rungs[rung])
        table = np.array([self.rungs[rung][number] for number in numbers])
        return [numbers[place] for place in best_first(table)]

    def ask(self, new: int | None) -> int | None:
        for least in (0, 1):
            for rung in reversed(range(len(self.rungs))):
                ranked = self.ranked(rung)
                for number in ranked[: max(least, len(ranked) // self.eta)]:
                    if number not in self.promoted[rung]:
                        self.promoted[rung].add(number)
                        return number
            if new is not None or self.running:
                return new
        return None

    def reach(self, number: int, rung: int, values: tuple[float, ...]) -> bool:
        self.rungs[rung][number] = values
        goes_on = number == 0 or number in self.ranked(rung)[: len(self.rungs[rung]) // self.eta]
        if goes_on:
            self.promoted[rung].add(number)
        return goes_on


def test_of_equal_scores_the_lower_log_loss_of_the_kept_weights_is_promoted(harness: StudyHarness) -> None:
    handle = harness.create(trials=4, settings={"train.epochs": 9}, **RUNGS | {"first_rung": 3})
    assert handle.spec.curves == ("logloss",)
    leases = [claim_next(handle) for _ in range(4)]
    losses = [[0.9, 0.9, 0.9], [0.9, 0.4, 0.7], [0.1, 0.5, 0.6], [0.9, 0.9, 0.8]]
    for lease, curve in zip(leases, losses, strict=True):
        report_logloss = TrialReporter(harness.context(handle), lease, last=8)
        for epoch, loss in enumerate(curve):
            # The first epoch is worse in accuracy, so its log-loss does not count.
            report_logloss({"accuracy": 0.5 if epoch else 0.25, "logloss": loss}, epoch)
    with handle.storage.engine.connect() as connection:
        standings = read_standings(handle, connection)
    assert [own.scores for own in standings.values()] == [(0.5,)] * 4
    assert [own.ties for own in standings.values()] == [(0.9,), (0.4,), (0.5,), (0.8,)]
    for lease in leases[2:]:
        with pytest.raises(Paused):
            promote_or_pause(lease, 3)
    promote_or_pause(leases[1], 3)


def test_promotions_with_three_objectives_match_plain_loops(harness: StudyHarness) -> None:
    trials, epochs = 12, 4
    objective = ["accuracy", "macro_f1", "parameters"]
    handle = harness.create(trials=trials, objective=objective, settings={"train.epochs": epochs}, **RUNGS)
    assert handle.spec.rungs == (1, 3)
    rng, order = np.random.default_rng(5), random.Random(2)
    curves_NEM, parameters_N = rng.random((trials, epochs, 2)).round(2), rng.integers(1000, 2000, trials)
    loops, leases, done = Loops(3, 2), dict[int, Lease](), [0] * trials
    created = idle = 0
    while idle < 20:
        if len(leases) < 3 and order.random() < 0.5:
            expected = loops.ask(created if created < trials else None)
            lease = claim(handle, max_losses=3)
            assert (lease and lease.trial.number) == expected
            idle = 0 if lease else idle + 1
            if lease:
                number = lease.trial.number
                created += number == created
                lease.trial.set_user_attr(COSTS.key, {"parameters": int(parameters_N[number])})
                leases[number] = lease
                loops.running.add(number)
            continue
        if not leases:
            continue
        number = order.choice(sorted(leases))
        lease = leases[number]
        report(lease, curves_NEM[number, done[number]].tolist(), done[number])
        done[number] += 1
        goes_on = True
        if done[number] in (1, 3):
            rung = (1, 3).index(done[number])
            # The epoch that is best in accuracy so far is whose weights would be kept.
            kept = curves_NEM[number, int(np.argmax(curves_NEM[number, : done[number], 0]))]
            goes_on = loops.reach(number, rung, (*kept, -float(parameters_N[number])))
        if goes_on:
            promote_or_pause(lease, done[number])
        else:
            with pytest.raises(Paused, match=f"paused at rung {rung + 1} of 2, after {done[number]} epochs"):
                promote_or_pause(lease, done[number])
        if done[number] == epochs:
            lease.end(TrialState.COMPLETE, [*curves_NEM[number, -1].tolist(), float(parameters_N[number])])
        if not goes_on or done[number] == epochs:
            del leases[number]
            loops.running.remove(number)
    left = prune_paused(handle)
    assert is_finished(handle)
    trials_now = handle.study.get_trials()
    assert [len(trial.intermediate_values) for trial in trials_now] == done
    assert [number for number in range(trials) if done[number] < epochs] == left and len(left) > trials / 2
    last = trials_now[left[0]]
    assert last.values == [*curves_NEM[left[0], done[left[0]] - 1], parameters_N[left[0]]]
    assert count_states(handle) == {TrialState.COMPLETE: trials - len(left), TrialState.PRUNED: len(left)}


def test_a_paused_trial_shows_its_main_value(harness: StudyHarness) -> None:
    handle = harness.create(trials=5, objective=list(TWO), settings={"train.epochs": 9}, **RUNGS)
    for value in (0.5, 0.25):
        lease = claim_next(handle)
        lease.trial.set_user_attr(COSTS.key, {"parameters": 7})
        handle.storage.set_trial_intermediate_value(lease.trial_id, 0, value)
        if lease.trial.number == 0:
            promote_or_pause(lease, 1)
    with pytest.raises(Paused, match="paused at rung 1 of 2, after 1 epochs, with 0.2500"):
        promote_or_pause(lease, 1)
    assert trial_row(handle.study.trials[1], handle.spec)["cause"] == "paused at rung 1, after 1 epochs, with 0.25"


def stopped(handle: StudyHandle, seed: int) -> None:
    """Add sixteen trials stopped after the first epoch, half of them pruned; x up to 1."""
    rng = np.random.default_rng(seed)
    for number in range(16):
        x = float(rng.uniform(0, 1))
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if number % 2 else TrialState.WAITING,
            params={"x": x},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
            intermediate_values={0: 1 - abs(x - 0.8)},
            user_attrs={COSTS.key: {"parameters": 5.0}},
        )
        handle.study.add_trial(trial)


def test_the_sampler_ranks_stopped_trials(harness: StudyHarness) -> None:
    handle = harness.create(objective=list(TWO), pruner="asha", settings={"train.epochs": 9}, trials=40)
    harness.end_next(handle, TrialState.FAIL)
    stopped(handle, 1)
    trials = handle.study.get_trials()
    assert reached(trials[-1], handle.spec.objectives, handle.spec.signs) == (trials[-1].intermediate_values[0], -5.0)
    single = harness.create("one", pruner="asha", settings={"train.epochs": 9}, trials=40)
    harness.end_next(single, TrialState.FAIL)
    stopped(single, 1)
    draws = []
    for name in ("soy", "one"):
        opened = open_study(harness.storage, name)
        frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
        distribution = optuna.distributions.FloatDistribution(0, 1)
        draws.append(
            [
                opened.spec.build_sampler(number).sample_independent(opened.study, frozen, "x", distribution)
                for number in range(100, 140)
            ]
        )
    # All have the same size here, so the order of the two objectives is that of the one.
    several, one = (np.mean(np.abs(np.array(draw) - 0.8)) for draw in draws)
    assert several < 0.15 and one < 0.15, "uniform draws are 0.34 away on average"


def test_the_sampler_avoids_infeasible_trials(harness: StudyHarness) -> None:
    handle = harness.create(objective=list(TWO), pruner="asha", settings={"train.epochs": 9}, trials=90)
    harness.end_next(handle, TrialState.FAIL)
    rng = np.random.default_rng(0)
    distribution = optuna.distributions.FloatDistribution(0, 1)
    for x in rng.uniform(0, 1, 40):
        known: dict[str, Any] = {"params": {"x": float(x)}, "distributions": {"x": distribution}}
        if x > 0.5:
            known |= {"state": TrialState.PRUNED, "constraints": {"parameters<=5": float(x)}}
        else:
            known |= {"values": (0.5, float(rng.uniform(1, 2)))}
        handle.study.add_trial(optuna.trial.create_trial(**known))
    frozen, opened = optuna.trial.create_trial(state=TrialState.RUNNING), open_study(harness.storage, "soy")
    drawn = [
        opened.spec.build_sampler(number).sample_independent(opened.study, frozen, "x", distribution)
        for number in range(100, 130)
    ]
    assert np.mean(np.array(drawn) < 0.5) > 0.8


@pytest.mark.parametrize("several", [False, True], ids=["one objective", "two objectives"])
def test_a_trial_that_ended_early_counts_at_every_rung(harness: StudyHarness, several: bool) -> None:
    """A trial of two epochs, and rungs after one and three."""
    options = {"objective": list(TWO)} if several else {}
    handle = harness.create(trials=3, settings={"train.epochs": 9}, **RUNGS, **options)
    early = claim_next(handle)
    early.trial.set_user_attr(COSTS.key, {"parameters": 5})
    handle.storage.set_trial_intermediate_value(early.trial_id, 0, 0.5)
    handle.storage.set_trial_intermediate_value(early.trial_id, 1, 0.7)
    early.end(TrialState.COMPLETE, [0.7, 5.0] if several else 0.7)
    with study_lock(handle.storage, handle.id) as connection:
        standing = read_standings(handle, connection)[early.trial_id]
    expected = [(0.5, -5.0), (0.7, -5.0)] if several else [0.5, 0.7]
    assert handle.spec.rungs == (1, 3) and list(standing.scores) == expected
