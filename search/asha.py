"""Asynchronous successive halving (ASHA): the rungs, and the rule that promotes trials.

The promotion form of Li et al., arXiv 1810.05934, algorithm 2: a trial that has trained for as many
epochs as a rung says pauses there until it is among the best 1/eta of all trials that reached the
rung. With several objectives the best are those of the first Pareto fronts, spread out (MO-ASHA,
Schmucker et al., arXiv 2106.12639).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from ..storage.attributes import COSTS, CURVES
from .pareto_front import best_first

# The value of one objective, or those of several.
Score = float | tuple[float, ...]


class Paused(Exception):
    """A trial pauses at a rung: it is WAITING, and its worker has lost the lease."""


@dataclass(frozen=True)
class RungScores:
    """The scores of a trial at the rungs that it has reached.

    ``scores`` has its best value up to each rung, that of the weights that it would keep; larger is
    better. With several objectives a score is the tuple of their values. ``passed`` is the number
    of rungs that the trial was promoted past. ``ties`` has, for the weights of each score, the
    metric that decides between equal scores (lower is better), if it is known.
    """

    number: int
    scores: tuple[Score, ...]
    passed: int
    ties: tuple[float, ...] = ()

    def order(self, rung: int) -> tuple[float, int]:
        """Return the key by which trials with equal scores at ``rung`` are sorted."""
        return self.ties[rung] if self.ties else math.inf, self.number

    @property
    def waits(self) -> bool:
        """Whether the trial has reached a rung that it was not promoted past."""
        return len(self.scores) > self.passed


def rung_epochs(first: int | None, eta: int, epochs: int) -> tuple[int, ...]:
    """Return the epochs of the rungs.

    They are ``first``, then eta times as many each, all below ``epochs``.
    """
    reached, rungs = first or default_first(epochs), list[int]()
    while reached < epochs:
        rungs.append(reached)
        reached *= eta
    return tuple(rungs)


def default_first(epochs: int) -> int:
    """Return the epochs before the first rung: a ninth of ``epochs``.

    With eta 3 this was the earliest rung that kept the best trial in replays of recorded curves; a
    twelfth did not.
    """
    return max(1, round(epochs / 9))


def promotable(trials: Iterable[RungScores], eta: int, *, last: bool = False) -> list[int]:
    """Return the numbers of the trials to promote, those of the highest rung first, its best first.

    Of the n trials that reached a rung, the best floor(n / eta) are promoted; of equals, the one
    that is lower in the metric that decides ties, then the earlier trial. Two rules go beyond the
    paper. Trial 0, the recipe, is always promoted, so that no search ends below it. At the end
    (``last``: no other trial is left to run) the best trial of each rung is promoted, however few
    have reached it.
    """
    known = list(trials)
    height = max((len(trial.scores) for trial in known), default=0)
    chosen: list[int] = []
    for rung in reversed(range(height)):
        ranked = _ranked(known, rung)
        quota = max(int(last), len(ranked) // eta)
        chosen += [
            trial.number
            for rank, trial in enumerate(ranked)
            if trial.waits and trial.passed == rung and (rank < quota or trial.number == 0)
        ]
    return chosen


def _ranked(trials: Sequence[RungScores], rung: int) -> list[RungScores]:
    reached_it = sorted((s for s in trials if len(s.scores) > rung), key=lambda trial: trial.order(rung))
    # Several objectives: their columns in one table. One objective is the table with one column,
    # and merely sorted.
    table_NM = np.array([trial.scores[rung] for trial in reached_it], dtype=float).reshape(len(reached_it), -1)
    if table_NM.shape[1] == 1:
        return [reached_it[i] for i in np.argsort(-table_NM[:, 0], kind="stable")]
    return [reached_it[i] for i in best_first(table_NM)]


def trial_curve(trial: FrozenTrial, objectives: Sequence[str]) -> list[tuple[float, ...]]:
    """Return a trial's objectives after each reported step, in the study's order.

    A cost is the same at every step. A metric that was not reported at a step is NaN there: a
    booster's rounds report only the log-loss.
    """
    curves, costs = CURVES.get(trial) or {}, COSTS.get(trial) or {}
    return objective_vectors(objectives, trial.intermediate_values, curves, costs)


def best_after(curve: Sequence[tuple[float, ...]], steps: int, signs: Sequence[int]) -> tuple[float, ...]:
    """Return the values of the weights that are best after ``steps`` steps.

    Values beyond the objectives, which have ``signs``, decide between steps that are equal in the
    main objective: the lower is better.
    """
    return max(curve[:steps], key=lambda values: (signs[0] * values[0], *(-each for each in values[len(signs) :])))


def reached(trial: FrozenTrial, objectives: Sequence[str], signs: Sequence[int]) -> tuple[float, ...]:
    """Return the objectives of the best weights in a trial's curve; larger is better."""
    curve = trial_curve(trial, objectives)
    return signed(best_after(curve, len(curve), signs), signs)


def signed(values: Sequence[float], signs: Sequence[int]) -> tuple[float, ...]:
    """Multiply each value by its objective's sign, so that larger is better in all of them."""
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))


def objective_vectors(
    names: Sequence[str],
    main: Mapping[int, float],
    curves: Mapping[str, Mapping[str, float]],
    costs: Mapping[str, Any],
) -> list[tuple[float, ...]]:
    """Join the main curve, the other metrics' curves and the costs into one tuple a step."""
    others = names[1:]
    return [
        (main[step], *(costs.get(name, curves.get(name, {}).get(str(step), float("nan"))) for name in others))
        for step in sorted(main)
    ]
