"""`venation try`: a linear probe, its cross-validated scores and a first bundle, in one step."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..data.progress import Step
from .bars import on_terminal, terminal_bars
from .groups import examples
from .shared import AsJson, DataPath, Device, print_result

if TYPE_CHECKING:
    from ..bundles.first_bundle import Progress
    from ..bundles.try_report import TryReport

TRY_EXAMPLES = examples("try leaves/", "try leaves/ -o leaves.zip --encoder tf_efficientnet_lite2 --size 288")

# The scores that are printed, with their names; the bundle records all.
_SCORES = {"accuracy": "accuracy", "accuracy_blanked": "accuracy with blanked background", "logloss": "log-loss"}


def try_data(
    data: DataPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder or .zip file to create [default: DATA's name with .bundle, here]."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Name of a pretrained encoder in timm [default: tf_efficientnet_lite0].")
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of the input images in pixels.")] = 224,
    folds: Annotated[int, typer.Option(min=2, max=100, help="Largest number of folds of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the folds.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Classify images by a pretrained encoder without training: scores and a first bundle."""
    from ..api.first_bundle import try_data as try_images
    from ..trials.probe_config import DEFAULT_ENCODER

    with _shown_progress() as progress:
        report = try_images(
            data,
            out,
            encoder=encoder or DEFAULT_ENCODER,
            size=size,
            folds=folds,
            seed=seed,
            device=device,
            progress=progress,
        )
    if as_json:
        print_result(report.record(), as_json=True)
    else:
        _print_report(report)


@contextmanager
def _shown_progress() -> Iterator["Progress"]:
    """Yield a function that shows progress on stderr: a bar on a terminal, else a line a stage."""
    if not on_terminal():
        yield lambda stage, done, total: None if done else typer.echo(stage, err=True)
        return
    with terminal_bars() as show:
        yield lambda stage, done, total: show(Step(stage, done, total))


def _print_report(report: "TryReport") -> None:
    from ..trials.background import describe_background
    from .printing import print_rows

    scored = "" if report.scored == report.images else f" on {report.scored} of them"
    typer.echo(
        f"a linear probe on {report.encoder} at {report.size} pixels: {report.images} images of {report.classes}"
        f" classes, {report.folds}-fold cross-validation{scored}"
    )
    for note in (*report.notes, *filter(None, [describe_background(report.scores)])):
        typer.echo(f"note: {note}")
    print_rows({name: vars(report.scores[metric]) for metric, name in _SCORES.items() if metric in report.scores})
    if report.confused:
        typer.echo("\nmost confused (count of the class's images):")
        print_rows(report.confused)
        typer.echo("\nlowest recall:")
        print_rows(report.weakest)
    typer.echo(f"\nbundle: {report.bundle} (fitted on all {report.images} images, {report.seconds:.0f} s in all)")
    typer.echo(f"predict: venation predict {shlex.quote(str(report.bundle))} PHOTOS -o out/ --heatmap")
    typer.echo(f"search for something better: {report.next_command}")
