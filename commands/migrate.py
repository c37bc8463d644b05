"""`venation study migrate`: copy a study to another search space, with the trials that fit."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import ArtifactsUrl, AsJson, Settings, StorageUrl, StudyName, open_to_write, print_result
from .study_create import read_settings


def study_migrate(
    study: StudyName,
    new: Annotated[str, typer.Option("--as", metavar="NEW", help="Name of the new study.")],
    space: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="New search space; `study space` prints one to edit [default: the old one]."),
    ] = None,
    settings: Settings = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Number of trials, copied ones included [default: the old budget].")
    ] = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Create a study with another space.

    Copy the trials that fit it, and list why the others do not.
    """
    from ..studies.checks import recipe_outside
    from ..studies.migrate import migrate_study
    from ..studies.registry import open_study

    database, store = open_to_write(storage, artifacts)
    fixed = read_settings(settings or [])
    migrated = migrate_study(open_study(database, study), store, new, space=space, settings=fixed, trials=trials)
    print_result(migrated.rows, as_json)
    copied = sum(row["outcome"] == "copied" for row in migrated.rows)
    if outside := recipe_outside(migrated.handle.spec):
        typer.echo(outside, err=True)
    many = len(migrated.rows)
    typer.echo(f"created {new} with {copied} of the old study's {many} trials; start `venation worker {new}`", err=True)
