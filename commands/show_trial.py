"""A trial as text: its result, its params, its learning curve, its metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from optuna.trial import FrozenTrial

from ..insight.explain import explain
from ..leases.failures import cause_line
from ..leases.history import attempts
from ..search.handle import StudyHandle
from ..spaces.fields import changed_fields
from ..storage.artifacts import list_files
from ..storage.attributes import CONFIG, FOLDS, METRICS, VERSUS_PROBE
from ..studies.registry import get_trial, trial_row
from ..studies.summary import describe_values
from ..trials.metrics import MINIMISED
from ..trials.paired import PairedDifference, describe_difference
from ..trials.trial_config import TrialConfig
from .printing import format_settings, print_fields, print_rows

_BARS = "▁▂▃▄▅▆▇█"


def show_trial(handle: StudyHandle, number: int) -> None:
    """Print one trial. Raises UserError if it does not exist."""
    trial, spec, name = get_trial(handle, number), handle.spec, handle.study.study_name
    row, said, versus = trial_row(trial, spec), explain(handle, number), VERSUS_PROBE.get(trial)
    difference = None if versus is None else PairedDifference(**versus)
    # A step of a curve is an epoch, or a fold.
    step = "epoch" if spec.kind.facts.has_epochs and not spec.folds else "fold"
    fields: dict[str, Any] = {
        "linear probe": difference and describe_difference(difference, first="the trial", images="validation"),
        "drawn": said["drawn"],
        "ran": _run(trial, row),
        "pruned by": said["pruned"],
        "cause": said["cause"] and f"{cause_line(said['cause'])}: {said['means'] or 'see the log'}",
        "curve": curve_line(trial.intermediate_values, spec.objective, step),
        "files": [file.filename for file in list_files(trial, storage=handle.storage)],
        "settings": _settings(trial),
    }
    values = describe_values(trial, spec)
    print_fields(f"study {name}, trial {number}: {said['state']}{values and f', {values}'}", fields)
    for title, named in (("params", trial.params), ("validation metrics", METRICS.get(trial) or {})):
        if named:
            typer.echo()
            print_fields(title, named)
    if folds := FOLDS.get(trial):
        typer.echo()
        print_rows([{"fold": fold, **record} for fold, record in enumerate(folds, 1)])
    where = f"{name} {number}"
    typer.echo(f"\nattempts: venation trial why {where}\nlog: venation trial logs {where}", err=True)


def curve_line(curve: Mapping[int, float], metric: str, step: str = "epoch") -> str | None:
    """Return a curve as a row of bars, with its first, best and last value; None for no curve.

    ``step`` is the noun for a step of the curve, which counts from 0.
    """
    if not curve:
        return None
    steps = sorted(curve)
    values = [curve[each] for each in steps]
    best = (min if metric in MINIMISED else max)(range(len(values)), key=values.__getitem__)
    peak = f"best {values[best]:.4g} in {step} {steps[best] + 1}"
    return f"{spark_bars(values)}  {metric} {values[0]:.4g} at first, {peak}, last {values[-1]:.4g}"


def spark_bars(values: Sequence[float], width: int = 40) -> str:
    """Return values as bars of eight heights, at most ``width``: a longer row is thinned evenly."""
    shown = values
    if len(values) > width:
        shown = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    low, span = min(shown), max(shown) - min(shown)
    return "".join(_BARS[round(7 * (value - low) / span) if span else 3] for value in shown)


def _run(trial: FrozenTrial, row: Mapping[str, Any]) -> str | None:
    past = attempts(trial)
    if not past:
        return None
    last, again = past[-1], f", attempt {len(past)}" if len(past) > 1 else ""
    seconds = "" if row["seconds"] is None else f"{row['seconds']:g} s "
    since = last["started"][:16].replace("T", " ")
    return f"{seconds}on {last['host']} ({last['device']}), from {since} UTC{again}"


def _settings(trial: FrozenTrial) -> str | None:
    """Return the fields that differ from the defaults and are no params."""
    recorded = CONFIG.get(trial)
    if recorded is None:
        return None
    changed = changed_fields(TrialConfig.model_validate(recorded))
    return format_settings({name: value for name, value in changed.items() if name not in trial.params})
