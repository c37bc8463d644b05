"""Replay the recorded curves of a study through samplers and pruners, without any training."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from ..errors import UsageError, UserError
from ..leases.budget import is_finished
from ..search.asha import trial_curve
from ..search.handle import StudyHandle
from ..search.pareto_front import hypervolume
from ..search.spec import StudySpec
from ..search.ties import tie_key
from ..spaces.fields import describe
from ..studies.results import is_feasible
from .replay_order import sampled_order
from .replay_policies import Curve, Policy, PrunerPolicy, RungsPolicy, main_value, signed

PRUNERS = ("none", "median", "hyperband", "asha")
MULTI_OBJECTIVE_PRUNERS = ("none", "asha")

# Distance of the reference point below the worst value, as a share of the objective's range.
_MARGIN = 0.1


@dataclass(frozen=True)
class Outcome:
    """The result of a replay: ``epochs`` of the ``full`` number were trained.

    ``clock`` is the elapsed time in units of one epoch. ``winner`` is the best of the ``complete``
    trials; ``best`` is the best value of all trials. With several objectives both are about the
    main one, and ``hypervolume`` is that of the complete trials as a share of that of all trials;
    its reference point lies a tenth of each objective's range below the worst value. ``found`` is
    the number of epochs that all trials had trained when the winner ended.
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
    hypervolume: float | None = None
    found: int | None = None


def simulate(
    handle: StudyHandle,
    pruners: Sequence[str] | None = None,
    *,
    workers: int = 4,
    sampler: str | None = None,
    seed: int = 0,
    **options: Any,
) -> tuple[list[Outcome], int]:
    """Replay a study's COMPLETE trials through each of ``pruners``.

    Returns the outcomes, and the number of trials that were left out. Without ``pruners``, replays
    every pruner that the study may have.

    Every epoch takes the same time on each of ``workers``. Trials start in the order of their
    numbers; with a ``sampler``, in the order in which it would choose them, see ``sampled_order``.
    ``options`` (eta, first_rung) replace the study's fields of StudySpec; None keeps the study's
    value. Raises UsageError for an unknown pruner or sampler or an invalid value, UserError for
    fewer than two curves.
    """
    name, spec = handle.study.study_name, handle.spec
    if not spec.kind.facts.has_epochs:
        raise UserError(f"study `{name}` is a {spec.kind} study, whose trials have no epochs; simulate another study.")
    if spec.folds:
        raise UserError(f"study `{name}` has folds: its curves go by folds, not epochs; simulate another study.")
    trials = handle.study.get_trials(deepcopy=False)
    done = [t for t in trials if t.state == TrialState.COMPLETE and t.intermediate_values and is_feasible(t)]
    curves = [_curve(trial, spec) for trial in done]
    if len(curves) < 2:
        more = f"run `venation worker {name}` first"
        if is_finished(handle):
            more = "it has ended: create one with `--pruner none`"
        raise UserError(f"study `{name}` has {len(curves)} finished trials with a curve, and a replay needs 2; {more}.")
    if sampler is not None:
        order = sampled_order(done, _with(spec, sampler=sampler, seed=seed, pruner="none"))
        # Pruners need trials in ascending order of their numbers.
        numbers = [curves[place].number for place in order]
        curves = [replace(curves[place], number=new) for new, place in enumerate(order)]
    given = {key: value for key, value in options.items() if value is not None}
    tried = dict.fromkeys(pruners or (PRUNERS if len(spec.objectives) == 1 else MULTI_OBJECTIVE_PRUNERS))
    specs = [_with(spec, pruner=pruner, **given) for pruner in tried]
    outcomes = [replay(curves, each, name=name, workers=workers) for each in specs]
    if sampler is not None:
        outcomes = [replace(o, winner=None if o.winner is None else numbers[o.winner]) for o in outcomes]
    return outcomes, len(trials) - len(curves)


def replay(curves: Sequence[Curve], spec: StudySpec, *, name: str, workers: int) -> Outcome:
    """Replay ``curves`` through the pruner of ``spec`` on ``workers`` simulated workers.

    ``name`` is the name of the study, from which hyperband draws its brackets.
    """
    policy: Policy = RungsPolicy(curves, spec) if spec.pruner == "asha" else PrunerPolicy(curves, spec, name)
    places = [0] * len(curves)
    busy: list[int | None] = [None] * workers
    complete: dict[int, int] = {}  # epochs trained by all trials when each one ended
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
            if verdict == "continue" and places[index] == len(curves[index].values):
                policy.finish(index)
                complete[index] = sum(places)
                verdict = "stop"
            busy[worker] = index if verdict == "continue" else None
    return _outcome(curves, spec, complete, epochs=sum(places), clock=clock)


def _outcome(
    curves: Sequence[Curve], spec: StudySpec, complete: Mapping[int, int], *, epochs: int, clock: int
) -> Outcome:
    first = max(
        complete, key=lambda i: (signed(curves[i].value, spec), -curves[i].tie, -curves[i].number), default=None
    )
    winner = None if first is None else curves[first]
    best = main_value(max((curve.value for curve in curves), key=lambda value: signed(value, spec)))
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
        value=None if winner is None else main_value(winner.value),
        best=best,
        kept=winner is not None and main_value(winner.value) == best,
        hypervolume=_covered(curves, list(complete), spec) if len(spec.objectives) > 1 else None,
        found=None if first is None else complete[first],
    )


def _covered(curves: Sequence[Curve], complete: Sequence[int], spec: StudySpec) -> float:
    """Return the hypervolume of the complete trials as a share of that of all trials."""
    values_NM = np.array([signed(curve.value, spec) for curve in curves])
    reach_M = np.ptp(values_NM, axis=0)
    scaled_NM = (values_NM - values_NM.min(axis=0)) / np.where(reach_M > 0, reach_M, 1.0)
    worst_M = np.full(scaled_NM.shape[1], -_MARGIN)
    return hypervolume(scaled_NM[list(complete)], worst_M) / hypervolume(scaled_NM, worst_M)


def outcome_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return outcomes as rows to print."""
    return [asdict(outcome) for outcome in outcomes]


def _curve(trial: FrozenTrial, spec: StudySpec) -> Curve:
    curve, (tie, _) = trial_curve(trial, spec.objectives), tie_key(trial, spec.tie_break)
    if len(spec.objectives) > 1:
        return Curve(trial.number, tuple(curve), tuple(trial.values), tie)
    return Curve(trial.number, tuple(value for (value,) in curve), trial.values[0], tie)


def _with(spec: StudySpec, **changes: Any) -> StudySpec:
    try:
        return StudySpec.model_validate(spec.model_dump() | changes)
    except ValidationError as error:
        raise UsageError(describe(error)) from None
