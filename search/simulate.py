"""What a pruner would have saved: the recorded curves of a study replayed through it, without any training."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import optuna
from optuna.trial import TrialState
from pydantic import ValidationError

from ..errors import UsageError, UserError
from ..trials.fields import describe
from .lease import StudyHandle
from .rungs import Standing, promotable
from .specs import StudySpec

PRUNERS = ("none", "median", "hyperband", "rungs")

Verdict = Literal["go on", "wait", "stop"]


@dataclass(frozen=True)
class Curve:
    """A finished trial: the objective after every epoch, and the trial's value."""

    number: int
    values: tuple[float, ...]
    value: float


@dataclass(frozen=True)
class Outcome:
    """What came of a replay: ``epochs`` trained of the ``full`` number, ``clock`` epochs long on the workers.

    ``winner`` is the trial with the best value among the ``complete`` ones; ``best`` is the best value of all trials.
    """

    pruner: str
    trials: int
    complete: int
    epochs: int
    full: int
    saved: str
    clock: int
    winner: int | None
    value: float | None
    best: float
    kept: bool


def simulate(
    handle: StudyHandle, pruners: Sequence[str] = PRUNERS, *, workers: int = 4, **options: Any
) -> tuple[list[Outcome], int]:
    """Replay a study's COMPLETE trials through each of ``pruners``; the outcomes, and how many trials were left out.

    Every epoch takes as long as any other, on each of ``workers``. The trials come in the order of their numbers, as
    they were drawn then: a sampler that learns might have drawn others. ``options`` are fields of StudySpec (eta,
    first_rung) in place of the study's; None leaves the study's. Raises UsageError for a pruner or a value that does
    not exist, UserError for a study with fewer than two curves.
    """
    name, spec = handle.study.study_name, handle.spec
    if spec.kind == "booster":
        raise UserError(f"study `{name}` is a booster study and has no epochs to save; simulate another.")
    trials = handle.study.get_trials(deepcopy=False)
    curves = [_curve(trial) for trial in trials if trial.state == TrialState.COMPLETE and trial.intermediate_values]
    if len(curves) < 2:
        raise UserError(
            f"study `{name}` has {len(curves)} finished trials with a curve, and a replay needs two;"
            f" run `venation worker {name}` first."
        )
    given = {key: value for key, value in options.items() if value is not None}
    specs = [_with(spec, pruner=pruner, **given) for pruner in pruners]
    return [replay(curves, each, name=name, workers=workers) for each in specs], len(trials) - len(curves)


def replay(curves: Sequence[Curve], spec: StudySpec, *, name: str, workers: int) -> Outcome:
    """Replay ``curves`` through the pruner of ``spec`` on so many simulated workers.

    ``name`` is the study's: hyperband's brackets hang on it.
    """
    policy: _Policy = _Rungs(curves, spec) if spec.pruner == "rungs" else _Pruner(curves, spec, name)
    places = [0] * len(curves)
    busy: list[int | None] = [None] * workers
    complete: list[int] = []
    clock = 0
    while True:
        for worker, index in enumerate(busy):
            busy[worker] = policy.take() if index is None else index
        running = [(worker, index) for worker, index in enumerate(busy) if index is not None]
        if not running:
            break
        clock += 1
        for worker, index in running:
            places[index] += 1
            verdict = policy.report(index, places[index])
            if verdict == "go on" and places[index] == len(curves[index].values):
                policy.finish(index)
                complete.append(index)
                verdict = "stop"
            busy[worker] = index if verdict == "go on" else None
    return _outcome(curves, spec, complete, epochs=sum(places), clock=clock)


def _outcome(curves: Sequence[Curve], spec: StudySpec, complete: Sequence[int], *, epochs: int, clock: int) -> Outcome:
    sign = _sign(spec)
    winner = max((curves[i] for i in complete), key=lambda c: (sign * c.value, -c.number), default=None)
    best = sign * max(sign * curve.value for curve in curves)
    full = sum(len(curve.values) for curve in curves)
    return Outcome(
        pruner=spec.pruner,
        trials=len(curves),
        complete=len(complete),
        epochs=epochs,
        full=full,
        saved=f"{full / epochs:.1f}x",
        clock=clock,
        winner=None if winner is None else winner.number,
        value=None if winner is None else winner.value,
        best=best,
        kept=winner is not None and winner.value == best,
    )


def outcome_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Outcomes as rows to print."""
    return [asdict(outcome) for outcome in outcomes]


class _Policy(Protocol):
    """Which trial a free worker takes, and what a report does to it; trials by their place among the curves."""

    def take(self) -> int | None: ...

    def report(self, index: int, epochs: int) -> Verdict: ...

    def finish(self, index: int) -> None: ...


class _Pruner:
    """A pruner of Optuna over a study in memory."""

    def __init__(self, curves: Sequence[Curve], spec: StudySpec, name: str) -> None:
        self._curves = curves
        self._study = optuna.create_study(
            study_name=name,
            direction=spec.direction,
            pruner=spec.build_pruner(),
            sampler=optuna.samplers.RandomSampler(),
        )
        self._trials: list[optuna.Trial] = []

    def take(self) -> int | None:
        if len(self._trials) == len(self._curves):
            return None
        self._trials.append(self._study.ask())
        return len(self._trials) - 1

    def report(self, index: int, epochs: int) -> Verdict:
        trial = self._trials[index]
        trial.report(self._curves[index].values[epochs - 1], epochs - 1)
        if not trial.should_prune():
            return "go on"
        self._study.tell(trial, state=TrialState.PRUNED)
        return "stop"

    def finish(self, index: int) -> None:
        self._study.tell(self._trials[index], self._curves[index].value)


class _Rungs:
    """The rungs as workers climb them: the promoted first, then new trials, then the best of each rung."""

    def __init__(self, curves: Sequence[Curve], spec: StudySpec) -> None:
        self._curves = curves
        self._rungs = spec.rungs
        self._eta = spec.eta
        self._sign = _sign(spec)
        self._places = {curve.number: index for index, curve in enumerate(curves)}
        self._standings: dict[int, Standing] = {}
        self._new: Iterator[int] = iter(range(len(curves)))
        self._running: set[int] = set()

    def take(self) -> int | None:
        index = self._promote(last=False)
        if index is None:
            index = next(self._new, None)
        if index is None and not self._running:
            index = self._promote(last=True)
        if index is not None:
            self._running.add(index)
        return index

    def report(self, index: int, epochs: int) -> Verdict:
        curve = self._curves[index]
        if epochs not in self._rungs or epochs == len(curve.values):
            return "go on"
        before = self._standings.get(index, Standing(curve.number, (), 0))
        score = max(self._sign * value for value in curve.values[:epochs])
        self._standings[index] = Standing(curve.number, (*before.scores, score), before.passed)
        if curve.number in promotable(self._standings.values(), self._eta):
            self._pass(index)
            return "go on"
        self._running.remove(index)
        return "wait"

    def finish(self, index: int) -> None:
        self._running.remove(index)

    def _promote(self, *, last: bool) -> int | None:
        numbers = promotable(self._standings.values(), self._eta, last=last)
        if not numbers:
            return None
        index = self._places[numbers[0]]
        self._pass(index)
        return index

    def _pass(self, index: int) -> None:
        own = self._standings[index]
        self._standings[index] = Standing(own.number, own.scores, len(own.scores))


def _curve(trial: optuna.trial.FrozenTrial) -> Curve:
    assert trial.value is not None
    return Curve(trial.number, tuple(value for _, value in sorted(trial.intermediate_values.items())), trial.value)


def _with(spec: StudySpec, **changes: Any) -> StudySpec:
    try:
        return StudySpec.model_validate(spec.model_dump() | changes)
    except ValidationError as error:
        raise UsageError(describe(error)) from None


def _sign(spec: StudySpec) -> int:
    return 1 if spec.direction == "maximize" else -1
