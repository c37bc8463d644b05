"""`venation data`: check, import or generate a data set, or predict its masks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..wording import counted
from .bars import shown_progress
from .groups import examples, new_group
from .shared import AsJson, BundlePath, DataPath, Device, print_result

app = new_group("Check, import or generate a data set, or predict its masks.")


class LayoutOption(StrEnum):
    """The published layouts, as the command line spells them."""

    mganet = "mganet"
    cub = "cub"
    nabirds = "nabirds"
    ufg = "ufg"
    coco = "coco"
    yolo = "yolo"
    label_studio = "label-studio"
    cvat = "cvat"
    imagefolder = "imagefolder"


class LabelSource(StrEnum):
    """Where the label of an annotated image comes from."""

    category = "category"
    folder = "folder"


@app.command(
    "check",
    epilog=examples("data check leaves/", "data check leaves/ --report leaves-report/", "data check leaves.csv --json"),
)
def data_check(
    data: DataPath,
    min_images: Annotated[int, typer.Option(min=1, help="Smallest number of images of a class without a warning.")] = 4,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.html, a page with counts, sizes, masks, look-alikes and pictures of each class."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List all problems of a data set; exit code 3 if one of them is an error."""
    from dataclasses import asdict

    from ..data.check import read_checked

    if report is not None:
        from ..reports.data_report import report_data
        from ..reports.output import check_free

        check_free(report)
    with shown_progress():
        checked = read_checked(data, min_images=min_images)
        page = None if report is None else report_data(checked, report, data.resolve().name)
    findings = checked.findings
    print_result([asdict(finding) for finding in findings], as_json)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    typer.echo(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}", err=True)
    if page is not None:
        typer.echo(f"report: {page}", err=True)
    if errors:
        raise typer.Exit(3)


@app.command("synth")
def data_synth(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    classes: Annotated[int, typer.Option(help="Number of cultivars.")] = 6,
    images: Annotated[int, typer.Option(help="Number of leaves of each cultivar.")] = 20,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the leaves: the same seed draws the same leaves.")] = 0,
) -> None:
    """Generate images of leaves with their exact vein masks."""
    from ..data.synthetic import write_leaves

    write_leaves(out, classes=classes, images=images, size=size, seed=seed)
    typer.echo(out)


@app.command("import")
def data_import(
    layout: Annotated[
        LayoutOption,
        typer.Argument(
            metavar="LAYOUT",
            help="Layout: mganet, cub, nabirds, ufg, or an export: coco, yolo, label-studio, cvat, imagefolder.",
        ),
    ],
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of the published set or export.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    crop_boxes: Annotated[
        bool, typer.Option("--crop-boxes", help="Crop the images to their boxes (cub, nabirds).")
    ] = False,
    margin: Annotated[float, typer.Option(min=0, help="Margin of a crop on each side, as a share of the box.")] = 0.1,
    label_from: Annotated[
        LabelSource,
        typer.Option(
            help="Label of an image without its own: the category of its shapes, or its folder;"
            " then categories are mask classes (coco, yolo, label-studio, cvat)."
        ),
    ] = LabelSource.category,
) -> None:
    """Convert a published set, or an export of an annotation tool, to a folder with a manifest."""
    from ..data.importers import import_data

    typer.echo(import_data(layout, source, out, crop_boxes=crop_boxes, margin=margin, label_from=label_from))


@app.command("masks")
def data_masks(
    bundle: BundlePath,
    data: DataPath,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for a copy of the data (hard links) with the masks; required for a CSV file"
            " [default: write into DATA].",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=100,
            help="Number of decoders to train, one for each fold of the images that the bundle was trained on"
            " [default: none].",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also replace the masks that exist, in the copy of --out.")
    ] = False,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Predict masks for images without one, each by a decoder that was not trained on the image."""
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
