"""`venation study signal`: is there anything to find in this space?"""

from pathlib import Path
from typing import Annotated

import typer

from .shared import ArtifactsUrl, AsJson, Device, StorageUrl, StudyName, open_both, print_result


def study_signal(
    study: StudyName,
    points: Annotated[int, typer.Option(help="Points of the space, trial 0's config among them.")] = 10,
    seeds: Annotated[int, typer.Option(help="Trainings of each point.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length of a training [default: a quarter of the study's].")
    ] = None,
    device: Device = "auto",
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Measure whether a study's space can be told from noise, and say what to do; resumes what was interrupted."""
    from ..insight.signal import SignalCheck
    from ..studies.context import open_context
    from ..studies.registry import open_study

    database, store = open_both(storage, artifacts)
    context = open_context(open_study(database, study), store, device=device, data=data)
    verdict = SignalCheck(context, points=points, seeds=seeds, epochs=epochs).run()
    if as_json:
        print_result(verdict.record(), as_json=True)
        return
    print_result(verdict.rows(), as_json=False)
    typer.echo(f"\n{verdict.text}")
