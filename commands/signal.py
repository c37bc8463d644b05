"""`venation study signal`: test whether the configs of a search space differ by more than noise."""

from typing import Annotated

import typer

from .shared import ArtifactsUrl, AsJson, DataOverride, Device, StorageUrl, StudyName, open_both, print_result


def study_signal(
    study: StudyName,
    points: Annotated[int, typer.Option(help="Number of configs to train, with that of trial 0.")] = 10,
    seeds: Annotated[int, typer.Option(help="Number of trainings of each config.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs of a training [default: a quarter of the study's].")
    ] = None,
    device: Device = "auto",
    data: DataOverride = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Test whether a study's configs differ by more than noise; resumes an interrupted test."""
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
