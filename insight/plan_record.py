"""The recorded plan of a study: its rows, its price, and its comparison with the trials."""

import statistics
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from ..leases.history import attempts
from ..search.handle import StudyHandle
from ..storage.attributes import MIGRATED_FROM, PAUSED, PLAN
from ..studies.registry import num_epochs
from ..wording import duration


def stored_plan(handle: StudyHandle) -> dict[str, Any] | None:
    """Return the last plan, or None."""
    return PLAN.get(handle.study)


def compare(handle: StudyHandle, plan: dict[str, Any]) -> dict[str, Any] | None:
    """Compare the time of the study's trials with ``plan``; None before a trial has ended.

    ``seconds_an_epoch`` is a trial's whole duration divided by its number of epochs: the median
    over all trials, and trial 0's own value. ``off`` is trial 0's value divided by the planned one,
    minus 1. Not counted: trials copied from another study, trials that waited in between (paused at
    a rung, or lost by a worker), and a supernet, whose epochs differ from a decoder's.
    """
    took = {trial.number: took for trial in handle.study.get_trials(deepcopy=False) if (took := _epoch_seconds(trial))}
    if handle.spec.search == "oneshot":
        took.pop(0, None)
    if not took:
        return None
    first, planned = took.get(0), plan["points"][0]["seconds_an_epoch"]
    return {
        "trials": len(took),
        "seconds_an_epoch": statistics.median(took.values()),
        "trial_0_seconds_an_epoch": first,
        "trial_0_planned": planned,
        "off": first / planned - 1 if first is not None and planned else None,
    }


def plan_rows(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the points of ``plan`` as rows to print, with times in words."""
    rows = []
    for point in plan["points"]:
        mib, how = point["memory_mib"], point["memory"]
        shown = {
            "gmacs": point["macs"] / 1e9,
            "memory": how if mib is None else f"{mib:.0f} MiB, {how}",
            "epoch_time": _time(point["seconds_an_epoch"]),
            "time": _hours(point["hours"]),
        }
        names = ("point", "parameters", "trained", "gmacs", "memory", "epochs", "epoch_time", "time")
        differs = ", ".join(f"{name}={value}" for name, value in point["differs"].items())
        rows.append({name: (point | shown)[name] for name in names} | {"differs": differs or None})
    return rows


def plan_lines(plan: dict[str, Any], recorded: dict[str, Any] | None) -> dict[str, Any]:
    """Return the rest of ``plan``, and what ``compare`` returns, as lines to print.

    Times are in words.
    """
    lines = {name: value for name, value in plan.items() if name not in ("points", "hours")}
    lines["time"] = _hours(plan["hours"])
    if recorded is not None:
        lines |= {
            "recorded_trials": recorded["trials"],
            "recorded_epoch_time": _time(recorded["seconds_an_epoch"]),
            "recorded_trial_0_epoch_time": _time(recorded["trial_0_seconds_an_epoch"]),
            "recorded_trial_0_planned": _time(recorded["trial_0_planned"]),
            "recorded_off": recorded["off"],
        }
    return lines


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)


def _hours(hours: float | None) -> str | None:
    return None if hours is None else duration(3600 * hours)


def bill(plan: dict[str, Any], *, price: float | None, watts: float | None) -> dict[str, Any]:
    """Return the euros and kWh of ``plan`` for a ``price`` per hour and ``watts``, if given.

    Both are those of one device; a plan may count several for each trial.
    """
    hours = plan["hours"]
    if hours is not None:
        hours *= plan.get("processes", 1)
    lines: dict[str, Any] = {}
    if price is not None:
        lines["euros"] = None if hours is None else hours * price
    if watts is not None:
        lines["kwh"] = None if hours is None else hours * watts / 1000
    return lines


def _epoch_seconds(trial: FrozenTrial) -> float | None:
    # Optuna's duration covers only the last attempt.
    waited = len(attempts(trial)) > 1 or PAUSED.get(trial) or MIGRATED_FROM.get(trial)
    ended = trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.intermediate_values
    if waited or not ended or trial.duration is None:
        return None
    return trial.duration.total_seconds() / num_epochs(trial)
