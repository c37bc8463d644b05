"""How trials with known curves go through a pruner in memory: which one a free worker takes, and where each ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import optuna
from optuna.trial import TrialState

from ..search.asha import Score, Standing, kept_after, promotable
from ..search.spec import StudySpec

Verdict = Literal["go on", "wait", "stop"]


@dataclass(frozen=True)
class Curve:
    """A finished trial: the objective after every epoch, and the trial's value; of several objectives all of them."""

    number: int
    values: tuple[Score, ...]
    value: Score


class Policy(Protocol):
    """Which trial a free worker takes, and what a report does to it; trials by their place among the curves."""

    def take(self) -> int | None:
        """The trial that a worker runs next, on from where it was; None while there is none."""

    def report(self, index: int, epochs: int) -> Verdict:
        """What becomes of a running trial that has just finished so many epochs."""

    def finish(self, index: int) -> None:
        """A running trial has finished its last epoch."""


class PrunerPolicy:
    """A pruner of Optuna over a study in memory, whose trials have the numbers of their curves, which must ascend.

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
        """The next trial."""
        if len(self._trials) == len(self._curves):
            return None
        trial = self._study.ask()
        while trial.number < self._curves[len(self._trials)].number:
            # In the place of a trial that is not replayed.
            self._study.tell(trial, state=TrialState.FAIL)
            trial = self._study.ask()
        self._trials.append(trial)
        return len(self._trials) - 1

    def report(self, index: int, epochs: int) -> Verdict:
        """As the pruner says of the trial's main objective; a supernet is never pruned, as in ``reports``."""
        trial = self._trials[index]
        trial.report(main_value(self._curves[index].values[epochs - 1]), epochs - 1)
        if (self._oneshot and trial.number == 0) or not trial.should_prune():
            return "go on"
        self._study.tell(trial, state=TrialState.PRUNED)
        return "stop"

    def finish(self, index: int) -> None:
        """Tell the study, whose other trials are measured by it."""
        self._study.tell(self._trials[index], main_value(self._curves[index].value))


class RungsPolicy:
    """The rungs as workers climb them: the promoted first, then new trials, then the best of each rung."""

    def __init__(self, curves: Sequence[Curve], spec: StudySpec) -> None:
        self._curves = curves
        self._rungs = spec.rungs
        self._spec = spec
        self._places = {curve.number: index for index, curve in enumerate(curves)}
        self._standings: dict[int, Standing] = {}
        self._new: Iterator[int] = iter(range(len(curves)))
        self._running: set[int] = set()

    def take(self) -> int | None:
        """What may be promoted, then the next trial, then the best of each rung."""
        index = self._promote(last=False)
        if index is None:
            index = next(self._new, None)
        if index is None and not self._running:
            index = self._promote(last=True)
        if index is not None:
            self._running.add(index)
        return index

    def report(self, index: int, epochs: int) -> Verdict:
        """On, unless a rung has to be waited at."""
        curve = self._curves[index]
        if epochs not in self._rungs or epochs == len(curve.values):
            return "go on"
        before = self._standings.get(index, Standing(curve.number, (), 0))
        reached = kept_after([vector(value) for value in curve.values], epochs, self._spec.signs)
        score: Score = signed(reached, self._spec)
        self._standings[index] = Standing(curve.number, (*before.scores, score), before.passed)
        if curve.number in promotable(self._standings.values(), self._spec.eta):
            self._pass(index)
            return "go on"
        self._running.remove(index)
        return "wait"

    def finish(self, index: int) -> None:
        """Nobody runs it any more."""
        self._running.remove(index)

    def _promote(self, *, last: bool) -> int | None:
        numbers = promotable(self._standings.values(), self._spec.eta, last=last)
        if not numbers:
            return None
        index = self._places[numbers[0]]
        self._pass(index)
        return index

    def _pass(self, index: int) -> None:
        own = self._standings[index]
        self._standings[index] = Standing(own.number, own.scores, len(own.scores))


def vector(value: Score) -> tuple[float, ...]:
    """The objectives, or the one, as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def main_value(value: Score) -> float:
    """The main objective."""
    return vector(value)[0]


def signed(value: Score, spec: StudySpec) -> tuple[float, ...]:
    """The objectives, larger is better in each."""
    return tuple(sign * each for sign, each in zip(spec.signs, vector(value), strict=True))
