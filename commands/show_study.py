"""A study as text: progress, best trial, baseline, data, search, next command."""

from typing import Any

import typer

from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..spaces.fields import changed_fields
from ..spaces.space import Choice, Dimension, Int
from ..storage.attributes import SUSPENDED
from ..studies.probe_record import baseline_row, describe_probe
from ..studies.results import finished, latency_error, pareto_trials
from ..studies.summary import describe_best, next_command, progress
from ..studies.user_note import read_note
from ..wording import counted
from .printing import format_settings, print_fields, print_rows

_LISTED = 20
_BETTER = {"maximize": "higher is better", "minimize": "lower is better"}


def show_study(handle: StudyHandle) -> None:
    """Print the progress, the best trial and the spec of a study."""
    spec, name = handle.spec, handle.study.study_name
    fields: dict[str, Any] = {
        "note": " ".join(read_note(handle).split()),
        "paused": SUSPENDED.get(handle.study),
        "progress": progress(handle),
        "best": describe_best(handle),
        **_baseline(handle),
        **_measured(handle),
        "base": spec.base,
        "starts from": spec.init and str(spec.init),
        "data": f"{spec.data} ({spec.fingerprint[:12]})",
        "classes": _listed(spec.classes),
        "splits": _splits(spec),
        "objectives": _objectives(spec),
        "constraints": ", ".join(map(str, spec.constraints)),
        "budget": _budget(spec),
        "search": _search(spec),
        "recipe": format_settings(_recipe(spec)),
    }
    print_fields(f"study {name}: {spec.kind}, preset {spec.preset}", fields)
    if spec.space.dimensions:
        typer.echo()
        print_rows([_dimension_row(dimension) for dimension in spec.space.dimensions])
    typer.echo(f"\nnext: {next_command(handle)}")


def _baseline(handle: StudyHandle) -> dict[str, Any]:
    found = baseline_row(handle)
    if not found:
        return {}
    said = {"": found["versus_probe"]["says"]} if "versus_probe" in found else {}
    return {"baseline": describe_probe(found["probe"]), **said}


def _measured(handle: StudyHandle) -> dict[str, Any]:
    """Return what only some studies have: Pareto trials, the error of the predicted latency."""
    spec, fields = handle.spec, dict[str, Any]()
    if len(spec.objectives) > 1:
        fields["Pareto trials"] = ", ".join(str(trial.number) for trial in pareto_trials(handle))
    if "latency" in spec.costs and (error := latency_error(finished(handle))) is not None:
        fields["latency"] = (
            f"the predictions are off by {error['ms']:.3g} ms ({error['percent']:.3g} %), the mean of"
            f" {error['trials']} trials"
        )
    return fields


def _objectives(spec: StudySpec) -> str:
    pairs = zip(spec.objectives, spec.directions, strict=True)
    return ", ".join(f"{name} ({_BETTER[direction]})" for name, direction in pairs)


def _listed(names: tuple[str, ...]) -> str:
    more = ", ..." if len(names) > _LISTED else ""
    return f"{len(names)}: {', '.join(names[:_LISTED])}{more}"


def _splits(spec: StudySpec) -> str:
    split = spec.split
    if spec.folds:
        return f"{spec.folds} folds; {100 * split.test:g} % sealed for the test, seed {split.seed}"
    return f"{100 * split.val:g} % for validation, {100 * split.test:g} % sealed for the test, seed {split.seed}"


def _budget(spec: StudySpec) -> str:
    limits = [counted(spec.trials, "trial")] if spec.trials is not None else []
    limits += [f"{spec.timeout:g} s from the first trial"] if spec.timeout is not None else []
    return ", ".join(limits) or "no limit"


def _search(spec: StudySpec) -> str:
    method = "a supernet ranks all widths" if spec.search == "oneshot" else f"sampler {spec.sampler}"
    rungs = f" (rungs at epochs {', '.join(map(str, spec.rungs))})" if spec.rungs else ""
    return f"{method}, pruner {spec.pruner}{rungs}, seed {spec.seed}"


def _recipe(spec: StudySpec) -> dict[str, Any]:
    """Return the study's own fields that differ from the defaults and are not searched."""
    searched = {dimension.name for dimension in spec.space.dimensions}

    def own(name: str) -> bool:
        part = name.partition(".")[0]
        return part in spec.kind.facts.parts and (spec.base is None or part != "data" or name in spec.view)

    changed = changed_fields(spec.config)
    return {name: value for name, value in changed.items() if own(name) and name not in searched}


def _dimension_row(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Choice):
        values = ", ".join(map(str, dimension.choices))
    else:
        step = f", in steps of {dimension.step}" if isinstance(dimension, Int) and dimension.step > 1 else ""
        values = f"{dimension.low:g} to {dimension.high:g}{step}{', log scale' if dimension.log else ''}"
    conditions = [f"{name} is {' or '.join(map(str, allowed))}" for name, allowed in dimension.when.items()]
    return {"searched": dimension.name, "values": values, "only if": " and ".join(conditions) or None}
