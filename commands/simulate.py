"""`venation study simulate`: replay a finished study through other samplers and pruners."""

from typing import Annotated

import typer

from .shared import AsJson, StorageUrl, StudyName, open_named_study, print_result


def study_simulate(
    study: StudyName,
    pruners: Annotated[
        list[str] | None,
        typer.Option("--pruner", help="Pruner to replay; repeatable [default: every pruner that fits the study]."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of simulated workers.")] = 4,
    sampler: Annotated[
        str | None,
        typer.Option(help="Sampler that decides the order of the trials: tpe or random [default: the recorded order]."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler.")] = 0,
    eta: Annotated[
        int | None,
        typer.Option(min=2, help="Reduction factor: 1 in ETA trials is promoted [default: the study's]."),
    ] = None,
    first_rung: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs before the first rung [default: the study's].")
    ] = None,
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Replay a study's curves through other samplers and pruners: epochs saved, best value kept."""
    from ..insight.simulate import outcome_rows, simulate

    handle = open_named_study(storage, study)
    outcomes, left_out = simulate(
        handle, pruners, workers=workers, sampler=sampler, seed=seed, eta=eta, first_rung=first_rung
    )
    print_result(outcome_rows(outcomes), as_json)
    if left_out:
        typer.echo(f"{left_out} trials without a full curve are left out", err=True)
