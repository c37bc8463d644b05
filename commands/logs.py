"""`venation trial logs`: what the workers logged while they ran a trial, also while it runs on another machine."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from .shared import ArtifactsUrl, StorageUrl, StudyName, open_both


def trial_logs(
    study: StudyName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the trial has ended.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print a trial's log lines, every attempt's; they are stored when it begins, after each epoch and at the end."""
    from ..studies.registry import get_trial, open_study
    from ..workers.logs import follow_log, open_log

    database, store = open_both(storage, artifacts)
    handle = open_study(database, study)
    stored = open_log(handle, store, get_trial(handle, number))
    shown = 0
    for line in follow_log(handle, store, number) if follow else stored.lines:
        typer.echo(json.dumps(asdict(line)) if as_json else f"{line.time[:19].replace('T', ' ')} {line.text}")
        shown += 1
    ended = get_trial(handle, number)
    cause = ended.user_attrs.get("cause")
    remark = "" if shown else " without a stored line"
    if not shown and not handle.spec.kind.facts.has_epochs:
        remark += f": {handle.spec.kind} trials log nothing but their end"
    said = f"{ended.state.name}{f', {cause}' if cause else ''}{remark}{stored.flaws()}"
    typer.echo(f"trial {number} of study {study}: {said}", err=True)
