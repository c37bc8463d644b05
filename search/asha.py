"""The rule of the rungs: which trials go on when only one in eta may, asynchronously, from what is known by now.

Asynchronous successive halving in its promotion form (Li et al., arXiv 1810.05934, algorithm 2): a trial that has
trained for as many epochs as a rung says waits there until it is among the best 1/eta of all that ever stood on it.
Of several objectives the best are those of the first fronts, spread out (MO-ASHA, Schmucker et al., arXiv 2106.12639).
"""

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
    """Raised when a trial has to wait at a rung. It is WAITING by then, and no longer its worker's."""


@dataclass(frozen=True)
class Standing:
    """A trial at the rungs that it has reached.

    ``scores`` holds at each its best value until there (it would keep those weights), larger is better; of several
    objectives the values of those weights. ``passed`` says how many rungs it has gone past.
    """

    number: int
    scores: tuple[Score, ...]
    passed: int

    @property
    def stands(self) -> bool:
        """Whether it stands at a rung that it has not gone past."""
        return len(self.scores) > self.passed


def rung_epochs(first: int | None, eta: int, epochs: int) -> tuple[int, ...]:
    """After how many epochs each rung comes: ``first``, then eta times as many each, all below ``epochs``."""
    reached, rungs = first or default_first(epochs), list[int]()
    while reached < epochs:
        rungs.append(reached)
        reached *= eta
    return tuple(rungs)


def default_first(epochs: int) -> int:
    """The epochs before the first rung: a ninth of ``epochs``.

    With eta 3 that was the earliest rung that kept the best trial in replays of recorded curves; a twelfth did not.
    """
    return max(1, round(epochs / 9))


def promotable(standings: Iterable[Standing], eta: int, *, last: bool = False) -> list[int]:
    """The numbers of the trials that may go past the rung at which they stand, the highest rung first, its best first.

    At a rung that n trials have reached, these are the best floor(n / eta), the earlier trial before its equal. Beyond
    the paper, trial 0, the recipe, always goes on, so that no search ends below it; and at the end (``last``: nothing
    else is left to run) the best of each rung goes on, however few have reached it.
    """
    known = list(standings)
    height = max((len(standing.scores) for standing in known), default=0)
    chosen: list[int] = []
    for rung in reversed(range(height)):
        ranked = _ranked(known, rung)
        quota = max(int(last), len(ranked) // eta)
        chosen += [
            standing.number
            for rank, standing in enumerate(ranked)
            if standing.stands and standing.passed == rung and (rank < quota or standing.number == 0)
        ]
    return chosen


def _ranked(standings: Sequence[Standing], rung: int) -> list[Standing]:
    there = sorted((s for s in standings if len(s.scores) > rung), key=lambda standing: standing.number)
    # Several objectives: their columns in one table. One objective is the table with one column, and merely sorted.
    table_NM = np.array([standing.scores[rung] for standing in there], dtype=float).reshape(len(there), -1)
    if table_NM.shape[1] == 1:
        return [there[i] for i in np.argsort(-table_NM[:, 0], kind="stable")]
    return [there[i] for i in best_first(table_NM)]


def trial_curve(trial: FrozenTrial, objectives: Sequence[str]) -> list[tuple[float, ...]]:
    """Return a trial's objectives after each reported step, in the study's order; a cost is the same in all.

    A metric that was not reported at a step is NaN there: a booster's rounds report only the log-loss.
    """
    curves, costs = CURVES.get(trial) or {}, COSTS.get(trial) or {}
    return objective_vectors(objectives, trial.intermediate_values, curves, costs)


def kept_after(curve: Sequence[tuple[float, ...]], steps: int, signs: Sequence[int]) -> tuple[float, ...]:
    """Return the objectives of the weights that a trial keeps after ``steps`` steps: the best by the main objective."""
    return max(curve[:steps], key=lambda values: signs[0] * values[0])


def reached(trial: FrozenTrial, objectives: Sequence[str], signs: Sequence[int]) -> tuple[float, ...]:
    """Return the objectives of the weights that a trial with a curve would keep; larger is better."""
    curve = trial_curve(trial, objectives)
    return signed(kept_after(curve, len(curve), signs), signs)


def signed(values: Sequence[float], signs: Sequence[int]) -> tuple[float, ...]:
    """Multiply each value by its objective's sign, so that larger is better in all of them."""
    return tuple(sign * value for sign, value in zip(signs, values, strict=True))


def objective_vectors(
    names: Sequence[str],
    main: Mapping[int, float],
    curves: Mapping[str, Mapping[str, float]],
    costs: Mapping[str, Any],
) -> list[tuple[float, ...]]:
    """Join the main objective's curve, the other metrics' curves and the costs into one tuple for each step."""
    others = names[1:]
    return [
        (main[step], *(costs.get(name, curves.get(name, {}).get(str(step), float("nan"))) for name in others))
        for step in sorted(main)
    ]
