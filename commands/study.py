"""`venation study`: create, look at and delete studies."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .shared import (
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    StudyName,
    new_group,
    open_database,
    open_named_study,
    open_to_write,
    print_result,
)

app = new_group("Create, look at and delete studies.")


class KindOption(StrEnum):
    """The kinds of study, as the command line spells them."""

    classifier = "classifier"
    decoder = "decoder"
    booster = "booster"


@app.command("create")
def study_create(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the new study.")] = None,
    kind: Annotated[KindOption | None, typer.Option(help="What to search for.")] = None,
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
        typer.Option(help="median, hyperband, rungs, wilcoxon or none [default: median; folds: wilcoxon]."),
    ] = None,
    eta: Annotated[int | None, typer.Option(min=2, help="Of rungs: one in so many goes on [default: 3].")] = None,
    first_rung: Annotated[
        int | None, typer.Option(min=1, help="Epochs before the first rung [default: a ninth of all].")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of splits, sampler and training [default: 0].")] = None,
    heartbeat: Annotated[
        float | None, typer.Option(help="Seconds between signs of life; six missed lose the trial [default: 10].")
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
    from ..studies.create import build_spec, create_study
    from ..studies.study_file import read_study_file

    given = {
        "name": name,
        "kind": kind.value if kind else None,
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
    fixed = options.pop("set", {}) | read_settings(settings or [])
    options |= {key: value for key, value in given.items() if value is not None}
    for key, spelling in (("name", "a NAME"), ("kind", "`--kind classifier|decoder|booster`")):
        if not options.get(key):
            raise UsageError(f"a new study needs {spelling}, on the command line or in the file of `-f`.")
    study, source = str(options.pop("name")), options.pop("from", None)
    database, store = open_to_write(storage, artifacts)
    spec, digests = build_spec(database, settings=fixed, warm_start=source, **options)
    _, new = create_study(database, store, study, spec, digests)
    typer.echo(study)
    if outside := recipe_outside(spec):
        typer.echo(outside, err=True)
    typer.echo(f"created; start `venation worker {study}`" if new else "exists with this very spec", err=True)


def read_settings(pairs: list[str]) -> dict[str, str]:
    """What ``--set KEY=VALUE`` says, by key; UsageError for one without a value."""
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"`--set {pair}` is not understood; write it as KEY=VALUE, say `--set train.epochs=3`.")
        values[key] = value
    return values


@app.command("space")
def study_space(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Name of a study.")] = None,
    kind: Annotated[
        KindOption | None, typer.Option(help="Without a study: of which kind [default: classifier].")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Without a study: of which preset [default: default].")] = None,
    storage: StorageUrl = None,
) -> None:
    """Print a search space as YAML, to edit and to give to `study create --space`."""
    from ..spaces.presets import recipe
    from ..spaces.space_file import space_text

    if study is not None and (kind or preset):
        given = f"--preset {preset}" if preset else f"--kind {kind}"
        raise UsageError(f"`{study}` and `{given}` name two spaces; give a study, or a preset and a kind.")
    if study is None:
        space = recipe(preset or "default", (kind or KindOption.classifier).value).space
    else:
        space = open_named_study(storage, study).spec.space
    typer.echo(space_text(space), nl=False)


@app.command("list")
def study_list(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the studies with their kinds, budgets and best values."""
    from ..studies.registry import study_rows

    print_result(study_rows(open_database(storage, reading=True)), as_json)


@app.command("show")
def study_show(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show a study's progress and its spec."""
    from ..studies.registry import study_row

    handle = open_named_study(storage, study)
    print_result(study_row(handle) | {"spec": handle.spec.model_dump(mode="json")}, as_json)


@app.command("trials")
def study_trials(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List a study's trials."""
    from ..studies.registry import trial_row

    handle = open_named_study(storage, study)
    trials = handle.study.get_trials(deepcopy=False)
    print_result([trial_row(trial, handle.spec) for trial in trials], as_json)


@app.command("best")
def study_best(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show a study's best trial."""
    from ..studies.registry import best_trial, no_result, trial_details

    handle = open_named_study(storage, study)
    best = best_trial(handle)
    if best is None:
        raise no_result(handle)
    print_result(trial_details(handle, best.number), as_json)


@app.command("pareto")
def study_pareto(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the trials that keep to the constraints and that no other dominates, best in the main objective first."""
    from ..studies.registry import no_result
    from ..studies.results import pareto_rows

    handle = open_named_study(storage, study)
    rows = pareto_rows(handle)
    if not rows:
        raise no_result(handle)
    print_result(rows, as_json)


@app.command("delete")
def study_delete(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Delete a study, its trials and their files."""
    from ..studies.registry import delete_study, need_study

    database, store = open_to_write(storage, artifacts)
    need_study(database, study)
    if not yes:
        typer.confirm(f"Delete study {study} with all its trials and files?", abort=True)
    typer.echo(f"deleted {study} and {delete_study(database, study, store)} files")
