"""Names of studies for the completion of the shell."""

import os

import typer

from ..errors import UserError


def complete_studies(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of studies that begin with ``incomplete``; none if no database answers.

    A press of the tab key starts no embedded server, and prints no error.
    """
    from ..storage import embedded

    given = context.params.get("storage") or os.environ.get("VENATION_STORAGE")
    if not given and embedded.status() is None:
        return []
    from ..api.stores import open_database
    from ..leases.lease import DATABASE_ERRORS
    from ..studies.registry import study_names

    try:
        names = study_names(open_database(given, reading=True, create=False))
    except (UserError, *DATABASE_ERRORS):
        return []
    return [name for name in names if name.startswith(incomplete)]
