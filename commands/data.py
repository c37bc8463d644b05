"""`venation data`: look at a data set, bring one in, draw one, or give it masks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .groups import new_group
from .shared import AsJson, BundlePath, DataPath, Device, print_result

app = new_group("Look at a data set, bring one in, draw one, or give it masks.")


class LayoutOption(StrEnum):
    """The layouts of the field, as the command line spells them."""

    mganet = "mganet"
    cub = "cub"
    nabirds = "nabirds"
    ufg = "ufg"


@app.command("check")
def data_check(
    data: DataPath,
    min_images: Annotated[int, typer.Option(min=1, help="Fewest images that a class should have.")] = 4,
    as_json: AsJson = False,
) -> None:
    """List everything that is wrong with a data set; exit code 3 if anything is an error."""
    from dataclasses import asdict

    from ..data.check import check_data

    findings = check_data(data, min_images=min_images)
    print_result([asdict(finding) for finding in findings], as_json)
    errors = sum(finding.level == "error" for finding in findings)
    typer.echo(f"{errors} errors, {len(findings) - errors} warnings", err=True)
    if errors:
        raise typer.Exit(3)


@app.command("synth")
def data_synth(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    classes: Annotated[int, typer.Option(help="Cultivars.")] = 6,
    images: Annotated[int, typer.Option(help="Leaves of each cultivar.")] = 20,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same leaves.")] = 0,
) -> None:
    """Draw leaves of a few cultivars with their exact vein masks."""
    from ..data.synthetic import write_leaves

    write_leaves(out, classes=classes, images=images, size=size, seed=seed)
    typer.echo(out)


@app.command("import")
def data_import(
    layout: Annotated[LayoutOption, typer.Argument(metavar="LAYOUT", help="mganet, cub, nabirds or ufg.")],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of the published set.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    crop_boxes: Annotated[bool, typer.Option("--crop-boxes", help="Crop to the boxes (cub, nabirds).")] = False,
    margin: Annotated[float, typer.Option(min=0, help="Share of its box that a crop gains on each side.")] = 0.1,
) -> None:
    """Bring a published set (MGANet's, CUB-200-2011, NABirds, UFG lists) into a folder with a manifest."""
    from ..data.importers import import_data

    typer.echo(import_data(layout, source, out, crop_boxes=crop_boxes, margin=margin))


@app.command("masks")
def data_masks(
    bundle: BundlePath,
    data: DataPath,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write a copy of the data (hard links) with the masks; a CSV needs it."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, max=100, help="Decoders to train, one a fold, for images that the bundle's learned from."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="In the copy, also predict in place of the masks that there are.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write masks for the images that have none, each by a decoder that never learned from the image."""
    from ..bundles.masks import write_masks
    from ..bundles.predict import PartlyRead
    from ..trials.device import choose_device

    where, problem = choose_device(device), None
    try:
        rows = write_masks(bundle, data, out=out, folds=folds, everything=everything, device=where)
    except PartlyRead as error:
        rows, problem = error.rows, error
    if rows or (as_json and problem is None):
        print_result(rows, as_json)
    if problem is not None:
        raise problem
