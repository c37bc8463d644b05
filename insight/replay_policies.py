"""Replay trials with known curves through a pruner in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import optuna
from optuna.trial import TrialState

from ..search.asha import RungScores, Score, best_after, promotable
from ..search.spec import StudySpec

Verdict = Literal["continue", "wait", "stop"]


@dataclass(frozen=True)
class Curve:
    """A finished trial: its objectives after every epoch, and its final values.

    Of equal final values the lower ``tie`` wins.
    """

    number: int
    values: tuple[Score, ...]
    value: Score
    tie: float = 0.0


class Policy(Protocol):
    """The next trial of a free worker, and the effect of a report.

    A trial is an index of the curves.
    """

    def take(self) -> int | None:
        """Return the trial to start or resume next; None if there is none at present."""

    def report(self, index: int, epochs: int) -> Verdict:
        """Decide whether a trial continues after ``epochs`` epochs."""

    def finish(self, index: int) -> None:
        """Record that a running trial has finished its last epoch."""


class PrunerPolicy:
    """A pruner of Optuna over a study in memory.

    Its trials have the numbers of their curves, which must ascend.

    Hyperband draws a trial's bracket from the study's name and the trial's number.
    """

    def __init__(self, curves: Sequence[Curve], spec: StudySpec, name: str) -> None:
        self._curves = curves
        self._oneshot = spec.search == "oneshot"
        self._study = optuna.create_study(
            study_name=name,
            direction=spec.direction,
            pruner=spec.build_pruner(),
            sampler=optuna.samplers.RandomSampler(),
        )
        self._trials: list[optuna.Trial] = []

    def take(self) -> int | None:
        """Return the next trial."""
        if len(self._trials) == len(self._curves):
            return None
        trial = self._study.ask()
        while trial.number < self._curves[len(self._trials)].number:
            # A placeholder for a trial that is not replayed.
            self._study.tell(trial, state=TrialState.FAIL)
            trial = self._study.ask()
        self._trials.append(trial)
        return len(self._trials) - 1

    def report(self, index: int, epochs: int) -> Verdict:
        """Ask the pruner about the main objective.

        Like a worker, it never prunes a supernet.
        """
        trial = self._trials[index]
        trial.report(main_value(self._curves[index].values[epochs - 1]), epochs - 1)
        if (self._oneshot and trial.number == 0) or not trial.should_prune():
            return "continue"
        self._study.tell(trial, state=TrialState.PRUNED)
        return "stop"

    def finish(self, index: int) -> None:
        """Add the final value to the study, against which the pruner compares other trials."""
        self._study.tell(self._trials[index], main_value(self._curves[index].value))


class RungsPolicy:
    """ASHA as workers run it: promoted trials, then new ones, then the best of each rung."""

    def __init__(self, curves: Sequence[Curve], spec: StudySpec) -> None:
        self._curves = curves
        self._rungs = spec.rungs
        self._spec = spec
        self._places = {curve.number: index for index, curve in enumerate(curves)}
        self._scores: dict[int, RungScores] = {}
        self._new: Iterator[int] = iter(range(len(curves)))
        self._running: set[int] = set()

    def take(self) -> int | None:
        """Return a promotable trial, else a new one, else the best of a rung."""
        index = self._promote(last=False)
        if index is None:
            index = next(self._new, None)
        if index is None and not self._running:
            index = self._promote(last=True)
        if index is not None:
            self._running.add(index)
        return index

    def report(self, index: int, epochs: int) -> Verdict:
        """Continue, unless the trial has to pause at a rung."""
        curve = self._curves[index]
        if epochs not in self._rungs or epochs == len(curve.values):
            return "continue"
        before = self._scores.get(index, RungScores(curve.number, (), 0))
        reached = best_after([vector(value) for value in curve.values], epochs, self._spec.signs)
        score: Score = signed(reached, self._spec)
        self._scores[index] = RungScores(curve.number, (*before.scores, score), before.passed)
        if curve.number in promotable(self._scores.values(), self._spec.eta):
            self._record_promotion(index)
            return "continue"
        self._running.remove(index)
        return "wait"

    def finish(self, index: int) -> None:
        """Remove the trial from the running ones; it counts at the rungs that it did not reach."""
        self._running.remove(index)
        curve = self._curves[index]
        before = self._scores.get(index, RungScores(curve.number, (), 0)).scores
        values = [vector(value) for value in curve.values]
        missed = [best_after(values, rung, self._spec.signs) for rung in self._rungs[len(before) :]]
        scores = (*before, *(signed(value, self._spec) for value in missed))
        self._scores[index] = RungScores(curve.number, scores, len(scores))

    def _promote(self, *, last: bool) -> int | None:
        numbers = promotable(self._scores.values(), self._spec.eta, last=last)
        if not numbers:
            return None
        index = self._places[numbers[0]]
        self._record_promotion(index)
        return index

    def _record_promotion(self, index: int) -> None:
        own = self._scores[index]
        self._scores[index] = RungScores(own.number, own.scores, len(own.scores))


def vector(value: Score) -> tuple[float, ...]:
    """Return the objectives as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def main_value(value: Score) -> float:
    """Return the main objective."""
    return vector(value)[0]


def signed(value: Score, spec: StudySpec) -> tuple[float, ...]:
    """Return the objectives with their signs set so that larger is better."""
    return tuple(sign * each for sign, each in zip(spec.signs, vector(value), strict=True))
