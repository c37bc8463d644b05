"""`venation study`: show, explain, resume and delete studies."""

from typing import Annotated

import typer

from ..errors import UsageError
from ..trials.kinds import Kind
from ..wording import counted
from .groups import HeadingGroup, new_group
from .shared import (
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    StudyName,
    open_database,
    open_named_study,
    open_to_write,
    print_result,
)


class _StudyGroup(HeadingGroup):
    headings = {
        "Start": ("create", "space", "plan"),
        "Inspect": ("list", "show", "trials", "best", "pareto"),
        "Operate": ("extend", "note", "resume", "migrate", "delete"),
        "Research": ("signal", "oneshot", "simulate"),
    }


app = new_group("Create studies, watch them, and judge their results.", cls=_StudyGroup)


@app.command("space")
def study_space(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Name of a study [default: a preset's space].")
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option(help="Kind of study, if no study is named [default: classifier].")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset, if no study is named [default: default].")] = None,
    storage: StorageUrl = None,
) -> None:
    """Print a search space as YAML, to edit and to pass to `study create --space`."""
    from ..spaces.space_file import space_text

    if study is not None and (kind or preset):
        given = f"--preset {preset}" if preset else f"--kind {kind}"
        raise UsageError(f"`{study}` and `{given}` name two spaces; give a study, or a preset and a kind.")
    if study is None:
        # Which encoders and sizes a preset offers is asked of timm, which takes seconds to import.
        from ..spaces.classifier import feasible_space
        from ..spaces.presets import recipe

        found = recipe(preset or "default", kind or Kind.CLASSIFIER)
        space = feasible_space(found.space, found.config)
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
    """Show progress, best trial, search and next command of a study; --json shows its spec."""
    from ..studies.probe_record import baseline_row
    from ..studies.registry import study_row
    from .show_study import show_study

    handle = open_named_study(storage, study)
    if as_json:
        shown = study_row(handle) | baseline_row(handle) | {"spec": handle.spec.model_dump(mode="json")}
        print_result(shown, as_json=True)
    else:
        show_study(handle)


@app.command("trials")
def study_trials(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the trials of a study."""
    from ..studies.registry import trial_row

    handle = open_named_study(storage, study)
    trials = handle.study.get_trials(deepcopy=False)
    print_result([trial_row(trial, handle.spec) for trial in trials], as_json)


@app.command("best")
def study_best(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show the best trial of a study; --json shows its whole record."""
    from ..studies.registry import best_trial, no_result, trial_details
    from .show_trial import show_trial

    handle = open_named_study(storage, study)
    best = best_trial(handle)
    if best is None:
        raise no_result(handle)
    if as_json:
        print_result(trial_details(handle, best.number), as_json=True)
    else:
        show_trial(handle, best.number)


@app.command("pareto")
def study_pareto(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the feasible trials that no other trial dominates, best in the main objective first."""
    from ..studies.registry import no_result
    from ..studies.results import pareto_rows

    handle = open_named_study(storage, study)
    rows = pareto_rows(handle)
    if not rows:
        raise no_result(handle)
    print_result(rows, as_json)


@app.command("extend")
def study_extend(
    study: StudyName,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials in all [default: as it is].")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds after the first trial in which new trials may start [default: as it is]."),
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Change the budget of a study; running workers see it, and an ended study goes on."""
    from ..studies.extend import extend_study, why_ended

    handle = extend_study(open_named_study(storage, study, reading=False), trials=trials, timeout=timeout)
    limits = {"trials": handle.spec.trials, "timeout": handle.spec.timeout}
    typer.echo(f"{study}: " + ", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None))
    if end := why_ended(handle):
        typer.echo(f"no further trial starts: {end}", err=True)


@app.command("note")
def study_note(
    study: StudyName,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="New note, in Markdown; '' removes it [default: print it].")
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Print or replace your note of a study, which the dashboard and `study show` show as well."""
    from ..studies.user_note import read_note, write_note

    handle = open_named_study(storage, study, reading=text is None)
    if text is not None:
        write_note(handle, text)
    elif note := read_note(handle):
        typer.echo(note)


@app.command("resume")
def study_resume(study: StudyName, storage: StorageUrl = None) -> None:
    """Let workers claim trials of a paused study again, after the recorded problem is fixed."""
    from ..leases.suspension import resume_study

    reason = resume_study(open_named_study(storage, study, reading=False))
    message = f"{study} was not paused" if reason is None else f"resumed {study}, which was paused: {reason}"
    typer.echo(message, err=True)


@app.command("delete")
def study_delete(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Delete a study, its trials and their files; this cannot be undone."""
    from ..studies.registry import delete_study, need_study

    database, store = open_to_write(storage, artifacts)
    need_study(database, study)
    if not yes:
        typer.confirm(f"Delete study {study} with all its trials and files?", abort=True)
    typer.echo(f"deleted {study} and {counted(delete_study(database, study, store), 'file')}")


@app.command("oneshot")
def study_oneshot(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Compare the supernet's best configs with random and cheapest ones, all trained alone."""
    from ..insight.oneshot_verdict import judge_oneshot

    verdict = judge_oneshot(open_named_study(storage, study))
    if as_json:
        print_result(verdict.record(), as_json=True)
        return
    print_result(verdict.rows(), as_json=False)
    typer.echo(f"\n{verdict.text}")
