"""`venation simulate`: what a sampler and a pruner would have saved of a study that has run."""

from typing import Annotated

import typer

from .shared import AsJson, StorageUrl, StudyName, open_named_study, print_result


def simulate(
    study: StudyName,
    pruners: Annotated[
        list[str] | None,
        typer.Option("--pruner", help="A pruner to try; repeatable [default: all that the study may have]."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Simulated workers.")] = 4,
    sampler: Annotated[
        str | None, typer.Option(help="tpe or random: the order in which it would have come to the trials.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler.")] = 0,
    eta: Annotated[int | None, typer.Option(min=2, help="Of rungs: one in so many goes on.")] = None,
    first_rung: Annotated[int | None, typer.Option(min=1, help="Epochs before the first rung.")] = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Replay a study's curves through sampler and pruners: epochs saved, best value or hypervolume kept or lost."""
    from ..insight.simulate import outcome_rows
    from ..insight.simulate import simulate as run

    handle = open_named_study(storage, study)
    outcomes, left_out = run(
        handle, pruners, workers=workers, sampler=sampler, seed=seed, eta=eta, first_rung=first_rung
    )
    print_result(outcome_rows(outcomes), as_json)
    if left_out:
        typer.echo(f"{left_out} trials without a full curve are left out", err=True)
