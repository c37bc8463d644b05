"""`venation trial`: look at single trials."""

from typing import Annotated

import typer

from .options import AsJson, StorageUrl, StudyName, new_group, open_named_study, print_result

app = new_group("Look at single trials.")


@app.command("show")
def trial_show(
    study: StudyName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")],
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one trial: config, curve, metrics, files and the cause of its end."""
    from ..search.studies import trial_details

    print_result(trial_details(open_named_study(storage, study), number), as_json)
