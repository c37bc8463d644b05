"""`venation study resume`: let the workers go on with a study that is paused."""

import typer

from .shared import StorageUrl, StudyName, open_named_study


def study_resume(study: StudyName, storage: StorageUrl = None) -> None:
    """Let workers claim trials of a study again that they paused, once the reason is mended."""
    from ..leases.suspension import resume_study

    reason = resume_study(open_named_study(storage, study, reading=False))
    told = f"{study} was not paused" if reason is None else f"resumed {study}, which was paused: {reason}"
    typer.echo(told, err=True)
