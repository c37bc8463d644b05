"""`venation study`: create, look at and delete studies."""

from typing import Annotated

import typer

from ..errors import UsageError
from ..trials.kinds import Kind
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


@app.command("space")
def study_space(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Name of a study.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Without a study: of which kind [default: classifier].")] = None,
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
        space = recipe(preset or "default", kind or Kind.CLASSIFIER).space
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
