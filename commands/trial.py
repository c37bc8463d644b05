"""`venation trial`: look at single trials."""

from typing import Annotated

import typer

from .shared import AsJson, StorageUrl, StudyName, new_group, open_named_study, print_result

app = new_group("Look at single trials.")

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")]


@app.command("show")
def trial_show(study: StudyName, number: Number, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show one trial: config, curve, metrics, files and the cause of its end."""
    from ..studies.registry import trial_details

    print_result(trial_details(open_named_study(storage, study), number), as_json)


@app.command("why")
def trial_why(study: StudyName, number: Number, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Say how a trial was drawn, who ran it when, what pruned it and what ended it."""
    from ..insight.explain import explain

    told = explain(open_named_study(storage, study), number)
    if as_json:
        print_result(told, as_json=True)
        return
    past = told.pop("attempts")
    print_result({name: value for name, value in told.items() if value is not None}, as_json=False)
    print_result(past, as_json=False)
