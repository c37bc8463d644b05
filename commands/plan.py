"""`venation study plan`: estimate the cost of a study, and compare the estimate with its trials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .process_group import ProcessGroup
from .shared import ArtifactsUrl, AsJson, DataOverride, Device, StorageUrl, StudyName, open_both, print_result

if TYPE_CHECKING:
    from ..search.handle import StudyHandle
    from ..storage.artifacts import Artifacts


def study_plan(
    study: StudyName,
    device: Device = "auto",
    gpus_per_trial: Annotated[
        int | None,
        typer.Option(min=2, help="Estimate for workers that train each network on this many GPUs [default: one]."),
    ] = None,
    processes_per_trial: Annotated[
        int | None, typer.Option(min=2, max=64, help="The same for processes on the CPU [default: one].")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="EUR_PER_HOUR", help="Price of an hour of the device in euros [default: no price]."
        ),
    ] = None,
    watts: Annotated[
        float | None, typer.Option(min=0, help="Power of the device in watts [default: no energy].")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure again, even if trials have ended and a plan exists.")
    ] = False,
    data: DataOverride = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Estimate hours and memory of a study from a few steps; later, compare with its trials."""
    from ..insight.plan_record import bill, compare, plan_lines, plan_rows, stored_plan
    from ..studies.registry import open_study

    group = ProcessGroup.of(gpus_per_trial, processes_per_trial)
    device = group.check(device)
    database, store = open_both(storage, artifacts)
    handle = open_study(database, study)
    plan = stored_plan(handle)
    if again or plan is None or compare(handle, plan) is None:
        plan = _measure(handle, store, device=device, data=data, processes=group.processes)
    else:
        measured = f"measured {plan['planned']} on {plan['device']}"
        typer.echo(f"the plan from before the trials, {measured}; --again measures again on this machine", err=True)
    recorded = compare(handle, plan)
    plan |= bill(plan, price=price, watts=watts)
    if as_json:
        print_result(plan | {"recorded": recorded}, as_json=True)
        return
    print_result(plan_rows(plan), as_json=False)
    print_result(plan_lines(plan, recorded), as_json=False)
    typer.echo("times count every epoch of every trial; savings by pruning are not subtracted", err=True)
    if plan.get("processes", 1) > 1:
        typer.echo("measured on one device with its share of each batch, without the exchange of gradients", err=True)


def _measure(
    handle: "StudyHandle", store: "Artifacts", *, device: str, data: Path | None, processes: int
) -> dict[str, Any]:
    """Measure a plan on this machine, with a remark if the validation split is small."""
    from ..insight.plan import plan_study
    from ..studies.coarse_validation import coarse_validation
    from ..studies.context import open_context

    context = open_context(handle, store, device=device, data=data, processes=processes)
    plan = plan_study(context)
    if coarse := coarse_validation(handle.spec, context.manifest):
        typer.echo(coarse, err=True)
    return plan
