"""`venation trial`: show single trials, why they ended, and their logs."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from .groups import new_group
from .shared import (
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    StudyName,
    TrialNumber,
    open_both,
    open_named_study,
    print_result,
)

app = new_group("Show single trials, why they ended, and their logs.")


@app.command("show")
def trial_show(study: StudyName, number: TrialNumber, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show one trial: result, params, curve and metrics; --json shows its whole record."""
    from ..studies.registry import trial_details
    from .show_trial import show_trial

    handle = open_named_study(storage, study)
    if as_json:
        print_result(trial_details(handle, number), as_json=True)
    else:
        show_trial(handle, number)


@app.command("why")
def trial_why(study: StudyName, number: TrialNumber, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Explain how a trial was sampled, which workers ran it, what pruned it and how it ended."""
    from ..insight.explain import explain

    row = explain(open_named_study(storage, study), number)
    if as_json:
        print_result(row, as_json=True)
        return
    past = row.pop("attempts")
    print_result({name: value for name, value in row.items() if value is not None}, as_json=False)
    print_result(past, as_json=False)


@app.command("logs")
def trial_logs(
    study: StudyName,
    number: TrialNumber,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the trial has ended.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each line.")] = False,
) -> None:
    """Print the log of a trial, all attempts, also while it runs on another machine.

    A worker stores the lines when the trial begins, after each epoch, and when the trial ends.
    """
    from ..storage.attributes import CAUSE
    from ..studies.registry import get_trial, open_study
    from ..workers.logs import follow_log, open_log

    database, store = open_both(storage, artifacts)
    handle = open_study(database, study)
    stored = open_log(handle, store, get_trial(handle, number))
    shown = 0
    for line in follow_log(handle, store, number) if follow else stored.lines:
        typer.echo(json.dumps(asdict(line)) if as_json else f"{line.time[:19].replace('T', ' ')} {line.text}")
        shown += 1
    trial = get_trial(handle, number)
    cause = CAUSE.get(trial)
    remark = "" if shown else " without a stored line"
    if not shown and not handle.spec.kind.facts.has_epochs:
        remark += f": {handle.spec.kind} trials log only their end"
    result = f"{trial.state.name}{f', {cause}' if cause else ''}{remark}{stored.flaws()}"
    typer.echo(f"trial {number} of study {study}: {result}", err=True)
