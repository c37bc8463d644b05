"""`venation study create`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..search.heartbeat import DEFAULT_HEARTBEAT_S, MISSED_HEARTBEATS
from ..trials.kinds import Kind
from .shared import ArtifactsUrl, StorageUrl, open_to_write


def study_create(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the new study.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="What to search for.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder or CSV file of the images; a base brings its own.")] = None,
    base: Annotated[str | None, typer.Option(help="Classifier to freeze: STUDY (its best) or STUDY:NUMBER.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Recipe: default, frozen, mganet, xmnet, mnsa, pim or herbs [default: default].")
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="YAML", help="Search this space, not the preset's; see `study space`.")
    ] = None,
    warm_start: Annotated[
        str | None, typer.Option("--from", metavar="STUDY", help="Start with the best trials of this study.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Budget over all workers [default: 20].")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no new trial is created.")] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="Validation metric to optimise; repeatable, after it also parameters, macs or latency."),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME<=NUMBER", help="Bound on parameters, macs or latency (ms); repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a config field; repeatable.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="trials, or oneshot: trial 0 ranks all widths [default: trials].")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe or random [default: tpe].")] = None,
    pruner: Annotated[
        str | None,
        typer.Option(help="median, hyperband, asha, wilcoxon or none [default: median; folds: wilcoxon]."),
    ] = None,
    eta: Annotated[int | None, typer.Option(min=2, help="Of rungs: one in so many goes on [default: 3].")] = None,
    first_rung: Annotated[
        int | None, typer.Option(min=1, help="Epochs before the first rung [default: a ninth of all].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of splits, sampler and training [default: 0].")] = None,
    heartbeat: Annotated[
        float | None,
        typer.Option(
            help=f"Seconds between heartbeats; {MISSED_HEARTBEATS} missed ones lose the trial"
            f" [default: {DEFAULT_HEARTBEAT_S:g}]."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="YAML", help="Read options from a file; those given here win."),
    ] = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Create a study; the same name with the same spec is a no-op."""
    from ..studies.checks import recipe_outside
    from ..studies.create import create_requested
    from ..studies.request import make_request
    from ..studies.study_file import read_study_file

    given = {
        "name": name,
        "kind": kind,
        "data": data,
        "base": base,
        "preset": preset,
        "space": space,
        "from": warm_start,
        "trials": trials,
        "timeout": timeout,
        "objective": objective or None,
        "constraint": constraint or None,
        "search": search,
        "sampler": sampler,
        "pruner": pruner,
        "eta": eta,
        "first_rung": first_rung,
        "seed": seed,
        "heartbeat": heartbeat,
    }
    options = read_study_file(file) if file else {}
    options["set"] = options.get("set", {}) | read_settings(settings or [])
    request = make_request(options | {key: value for key, value in given.items() if value is not None})
    handle, new = create_requested(*open_to_write(storage, artifacts), request)
    typer.echo(request.name)
    if outside := recipe_outside(handle.spec):
        typer.echo(outside, err=True)
    typer.echo(f"created; start `venation worker {request.name}`" if new else "exists with this very spec", err=True)


def read_settings(pairs: list[str]) -> dict[str, str]:
    """Return the values of ``--set KEY=VALUE`` by key; UsageError for one without a value."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"`--set {pair}` is not understood; write it as KEY=VALUE, say `--set train.epochs=3`.")
        values[key] = value
    return values
