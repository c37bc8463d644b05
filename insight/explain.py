"""Explain a trial in words: sampling, workers, pruning, and the cause of its end."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from ..leases.asha_queue import paused_at
from ..leases.failures import CAUSES
from ..leases.history import Attempt, attempts
from ..search.handle import StudyHandle
from ..search.windowed_sampler import WINDOW
from ..storage.attributes import CAUSE, FIXED_PARAMS, MIGRATED_FROM
from ..studies.registry import get_trial

_TPE_STARTUP = 10  # number of ended trials from which TPE begins to model


def explain(handle: StudyHandle, number: int) -> dict[str, Any]:
    """Return the rows of `trial why`: state, sampling, pruning, cause and all attempts.

    Raises UserError if the trial does not exist.
    """
    trial = get_trial(handle, number)
    past = attempts(trial)
    cause = CAUSE.get(trial)
    known = CAUSES.get(cause.split(":")[0]) if cause else None
    return {
        "trial": number,
        "state": paused_at(trial) or trial.state.name,
        "drawn": _sampling(handle, trial),
        "resumed": sum(attempt["epochs"] > 0 for attempt in past[:-1]),
        "pruned": _pruned(handle, trial),
        "cause": cause,
        "means": known.meaning if known else None,
        "then": None if known is None else _failure_action(trial, cause or "", known.action.value),
        "attempts": [attempt_row(attempt) for attempt in past],
    }


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """Return one attempt at a trial as a row; ``end`` is empty while it runs."""
    return {
        "attempt": attempt["attempt"],
        "worker": f"{attempt['host']}:{attempt['pid']}",
        "device": attempt["device"],
        "started": attempt["started"],
        "ended": attempt.get("ended"),
        "epochs": attempt["epochs"],
        "end": attempt.get("end"),
    }


def _failure_action(trial: FrozenTrial, cause: str, action: str) -> str:
    if trial.state == TrialState.FAIL and "given up after" in cause:
        return "the trial failed: its retries are used up"
    return action


def _sampling(handle: StudyHandle, trial: FrozenTrial) -> str:
    spec = handle.spec
    if (origin := MIGRATED_FROM.get(trial)) is not None:
        return f"copied from trial {origin}"
    if FIXED_PARAMS.get(trial) is not None:
        return (
            "the recipe itself" if trial.number == 0 else "enqueued: a start config of the recipe or of another study"
        )
    if not spec.space.dimensions:
        return "the recipe with another seed: the space is empty"
    if trial.state == TrialState.WAITING and not trial.params:
        return "not sampled yet"
    seed = f"with seed {spec.trial_seed(trial.number)}"
    if spec.sampler == "random":
        return f"at random, {seed}"
    if spec.sampler != "tpe":
        return f"by Optuna's sampler {spec.sampler}, {seed}"
    known = len([other for other in _trials(handle) if _ended_before(other, _sampled_at(trial))])
    if known < _TPE_STARTUP:
        return f"by TPE, at random during its start-up ({known} of {_TPE_STARTUP} trials had ended), {seed}"
    of = f"{WINDOW} of " if known > WINDOW else ""
    return f"by TPE from {of}the {known} trials that had ended, {seed}"


def _pruned(handle: StudyHandle, trial: FrozenTrial) -> str | None:
    """Return the rule that pruned the trial and its figures.

    Rungs and constraints record them as the cause.
    """
    if trial.state != TrialState.PRUNED:
        return None
    if (cause := CAUSE.get(trial)) is not None:
        return cause
    rule = _RULES.get(handle.spec.pruner)
    return rule(handle, trial) if rule is not None and trial.intermediate_values else handle.spec.pruner


def _by_median(handle: StudyHandle, trial: FrozenTrial) -> str:
    curve = trial.intermediate_values
    step, sign = max(curve), handle.spec.signs[0]
    own = sign * max(sign * value for value in curve.values())
    others = [
        other.intermediate_values[step]
        for other in _finished_before_pruning(handle, trial)
        if step in other.intermediate_values
    ]
    return (
        f"median: its best {handle.spec.objective} up to step {step} was {own:.4g}, the median of the {len(others)}"
        f" finished trials at that step {float(np.median(others)):.4g}"
    )


def _by_wilcoxon(handle: StudyHandle, trial: FrozenTrial) -> str:
    rivals, sign = _finished_before_pruning(handle, trial), handle.spec.signs[0]
    best = max(rivals, key=lambda other: sign * other.values[0])
    shared = sorted(trial.intermediate_values.keys() & best.intermediate_values.keys())
    own, its = (float(np.mean([each.intermediate_values[step] for step in shared])) for each in (trial, best))
    return (
        f"wilcoxon: worse than trial {best.number}, the best finished one, on {len(shared)} shared folds: mean"
        f" {handle.spec.objective} {own:.4g} against {its:.4g}"
    )


def _by_hyperband(handle: StudyHandle, trial: FrozenTrial) -> str:
    step = max(trial.intermediate_values)
    value = trial.intermediate_values[step]
    return (
        f"hyperband: its {handle.spec.objective} of {value:.4g} after step {step} is not in the best"
        f" 1/{handle.spec.eta} of its bracket"
    )


_RULES: Mapping[str, Callable[[StudyHandle, FrozenTrial], str]] = {
    "median": _by_median,
    "wilcoxon": _by_wilcoxon,
    "hyperband": _by_hyperband,
}


def _trials(handle: StudyHandle) -> list[FrozenTrial]:
    return handle.study.get_trials(deepcopy=False)


def _finished_before_pruning(handle: StudyHandle, trial: FrozenTrial) -> list[FrozenTrial]:
    """Return the finished trials that the pruner knew at its decision."""
    at = trial.datetime_complete
    return [t for t in _trials(handle) if t.state == TrialState.COMPLETE and at is not None and _ended_before(t, at)]


def _sampled_at(trial: FrozenTrial) -> datetime | None:
    """Return the start of the first attempt.

    Trials of earlier versions record only the last one.
    """
    past = attempts(trial)
    return datetime.fromisoformat(past[0]["started"]) if past else trial.datetime_start


def _ended_before(trial: FrozenTrial, moment: datetime | None) -> bool:
    ended = trial.datetime_complete
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) or ended is None or moment is None:
        return False
    # Optuna stores local times without a zone, and `astimezone` assumes the same.
    return ended.astimezone(UTC) <= moment.astimezone(UTC)
