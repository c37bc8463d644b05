"""`venation predict` and `evaluate`: what a bundle says of images."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .shared import AsJson, BundlePath, DataPath, Device, print_result

Flips = Annotated[bool, typer.Option("--flips", help="Average over mirror images, as training flipped them.")]


def predict(
    bundle: BundlePath,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images and folders of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for predictions.csv and masks.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw the masks on the images.")] = False,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="Also draw what the label rests on.")] = False,
    kept: Annotated[bool, typer.Option("--kept", help="Also draw the positions that PIM or HERBS selected.")] = False,
    flips: Flips = False,
    as_csv_text: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images that the network sees at once.")] = 16,
    device: Device = "auto",
) -> None:
    """Predict labels and masks of images, labelled or not."""
    from ..bundles.predict import PartlyRead, as_csv, predict_paths
    from ..trials.device import choose_device

    if as_csv_text and as_json:
        raise UsageError("--csv and --json were both given; give one of them.")
    where, problem = choose_device(device), None
    try:
        rows = predict_paths(
            bundle,
            paths,
            out,
            overlay=overlay,
            heatmap=heatmap,
            kept=kept,
            flips=flips,
            batch_size=batch_size,
            device=where,
        )
    except PartlyRead as error:
        rows, problem = error.rows, error
    if rows and as_csv_text:
        typer.echo(as_csv(rows), nl=False)
    elif rows:
        print_result(rows, as_json)
    if problem is not None:
        raise problem


def evaluate(
    bundle: BundlePath,
    data: DataPath,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for tables and the confusion matrix.")] = None,
    flips: Flips = False,
    groups: Annotated[
        Path | None, typer.Option(help="JSON file, class to coarse group; unset: groups.json of the data, if any.")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a bundle on labelled images, without those that it was trained or chosen on."""
    from ..bundles.evaluate import evaluate_bundle
    from ..trials.device import choose_device

    rows = evaluate_bundle(bundle, data, device=choose_device(device), out=out, flips=flips, groups=groups)
    print_result(rows, as_json)
