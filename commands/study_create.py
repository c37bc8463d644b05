"""`venation study create`: options of the command line and of a study file become a new study."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..search.heartbeat import DEFAULT_HEARTBEAT_S, MISSED_HEARTBEATS
from ..trials.kinds import Kind
from .bars import shown_progress
from .groups import examples
from .shared import ArtifactsUrl, Settings, StorageUrl, open_to_write

EXAMPLES = examples(
    "study create soy --kind classifier --data leaves/ --trials 20",
    "study create soy-veins --kind decoder --base soy",
    "study create soy-small --kind decoder --base soy --constraint 'parameters<=5e6'",
    "study create --file study.yaml --trials 50",
)


def study_create(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the new study.")] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Kind of study: which network or model to search for; required.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder or CSV file of the images [default: those of the base].")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Classifier to freeze, for a decoder or booster: STUDY (its best trial) or STUDY:NUMBER."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Recipe to start from: default, frozen, mganet, xmnet, mnsa, pim or herbs [default: default]."
        ),
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="Search space to use; `study space` prints one to edit [default: the preset's]."
        ),
    ] = None,
    warm_start: Annotated[
        str | None,
        typer.Option("--from", metavar="STUDY", help="Start with the best configs of this study [default: none]."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Weights to start from: STUDY or STUDY:NUMBER, a bundle, or a file [default: none].",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Number of trials of all workers together [default: 20; no limit with --timeout]."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds after the first trial in which new trials may start [default: no limit]."),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="Validation metric to optimise; repeatable, also with parameters, macs or latency after the metric"
            " [default: the kind's]."
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME<=NUMBER", help="Upper bound on parameters, macs or latency (ms); repeatable."),
    ] = None,
    settings: Settings = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Number of folds; a trial trains one network for each, and its value is their mean [default: 0, one"
            " split].",
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="Search method: trials, or oneshot (a supernet in trial 0 ranks all widths) [default: trials]."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Sampler of new configs: tpe, random, gp, nsga2 or qmc [default: tpe].")
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            help="Pruner of bad trials: median, hyperband, asha, wilcoxon or none"
            " [default: median; wilcoxon with folds]."
        ),
    ] = None,
    eta: Annotated[
        int | None, typer.Option(min=2, help="Reduction factor of the rungs: 1 in ETA trials is promoted [default: 3].")
    ] = None,
    first_rung: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs before the first rung [default: a ninth of all epochs].")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the splits, the sampler and the training [default: 0].")
    ] = None,
    heartbeat: Annotated[
        float | None,
        typer.Option(
            help=f"Seconds between heartbeats of a worker; {MISSED_HEARTBEATS} missed ones give its trial to another"
            f" [default: {DEFAULT_HEARTBEAT_S:g}]."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="YAML", help="File to read options from; options of the command line override it."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name every tensor that --init does not load.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Create a study; the same name with the same spec again changes nothing."""
    from ..data.channels import note_unread_channel
    from ..data.left_out import left_out_of
    from ..studies.base import base_study
    from ..studies.checks import frozen_children_notes, pretrained_sources, recipe_outside
    from ..studies.coarse_validation import coarse_validation
    from ..studies.create import create_requested
    from ..studies.data import load_parts
    from ..studies.request import make_request
    from ..studies.study_file import read_study_file
    from ..studies.thin_structure import describe_view

    given = {
        "name": name,
        "kind": kind,
        "data": data,
        "base": base,
        "preset": preset,
        "space": space,
        "from": warm_start,
        "init": init,
        "trials": trials,
        "timeout": timeout,
        "objective": objective or None,
        "constraint": constraint or None,
        "folds": folds,
        "search": search,
        "sampler": sampler,
        "pruner": pruner,
        "eta": eta,
        "first_rung": first_rung,
        "seed": seed,
        "heartbeat": heartbeat,
    }
    if verbose:
        logging.getLogger("venation.studies.create").setLevel(logging.DEBUG)
    options = read_study_file(file) if file else {}
    options["set"] = options.get("set", {}) | read_settings(settings or [])
    request = make_request(options | {key: value for key, value in given.items() if value is not None})
    with shown_progress():
        handle, new = create_requested(*open_to_write(storage, artifacts), request)
    typer.echo(request.name)
    pretrained = pretrained_sources(handle.spec) if handle.spec.init is None else []
    for line in (*pretrained, *frozen_children_notes(handle.spec)):
        typer.echo(line, err=True)
    manifest = load_parts(Path(handle.spec.data), handle.spec.split)
    base_spec = base_study(handle).spec if handle.spec.base else None
    unread = None if base_spec else note_unread_channel(manifest, handle.spec.config.data.channels)
    advice = (coarse_validation(handle.spec, manifest), describe_view(handle.spec, base_spec, manifest), unread)
    for note in filter(None, (left_out_of(manifest), recipe_outside(handle.spec), *advice)):
        typer.echo(note, err=True)
    typer.echo(
        f"created; start `venation worker {request.name}`" if new else "exists already with the same spec", err=True
    )


def read_settings(pairs: list[str]) -> dict[str, str]:
    """Return the values of ``--set KEY=VALUE`` by key; UsageError for one without a value."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"`--set {pair}` is not understood; write it as KEY=VALUE, say `--set train.epochs=3`.")
        values[key] = value
    return values
