"""`venation predict` and `venation evaluate`: use a bundle on images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..errors import UsageError
from .bars import shown_progress
from .groups import examples
from .shared import AsJson, BundlePath, DataPath, Device, print_result

PREDICT_EXAMPLES = examples(
    "predict soy.bundle photos/ -o out/",
    "predict soy.bundle photos/ -o out/ --overlay --heatmap",
    "predict soy.bundle photos/ -o out/ --heat-class cultivar_01",
)
EVALUATE_EXAMPLES = examples("evaluate soy.bundle leaves/", "evaluate soy.bundle leaves/ -o report/ --json")

Flips = Annotated[
    bool, typer.Option("--flips", help="Average the predictions over mirror images, with the flips of the training.")
]


def predict(
    bundle: BundlePath,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Images and folders of images.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for predictions.csv, masks and pictures; replaces those of an earlier run."
        ),
    ],
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write each image with its mask drawn on it.")
    ] = False,
    heatmap: Annotated[
        bool, typer.Option("--heatmap", help="Also write a heat map of the image regions that decide the label.")
    ] = False,
    heat_class: Annotated[
        str | None,
        typer.Option("--heat-class", metavar="CLASS", help="Draw the heat maps of this class, not of each label."),
    ] = None,
    kept: Annotated[bool, typer.Option("--kept", help="Also write the positions that PIM or HERBS selected.")] = False,
    flips: Flips = False,
    min_probability: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Answer `unknown` where the most probable class has less than this; 0 never"
            " [default: the bundle's, by which 95 % of right answers on validation images stay].",
        ),
    ] = None,
    as_csv_text: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: AsJson = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images in one batch.")] = 16,
    device: Device = "auto",
    runner: Annotated[
        Literal["auto", "torch", "onnx"],
        typer.Option(help="What runs the network; onnx needs no torch, and auto is torch where it is installed."),
    ] = "auto",
) -> None:
    """Predict labels and masks of images; the images need no labels."""
    from ..bundles.predict import PartlyRead, predict_paths
    from ..bundles.prediction_files import as_csv, without_files

    if as_csv_text and as_json:
        raise UsageError("--csv and --json were both given; give one of them.")
    problem = None
    try:
        with shown_progress():
            rows = predict_paths(
                bundle,
                paths,
                out,
                overlay=overlay,
                heatmap=heat_class if heat_class is not None else heatmap,
                kept=kept,
                flips=flips,
                min_probability=min_probability,
                batch_size=batch_size,
                device=device,
                runner=runner,
            )
    except PartlyRead as error:
        rows, problem = error.rows, error
    if rows and as_csv_text:
        typer.echo(as_csv(rows), nl=False)
    elif rows:
        print_result(rows if as_json else without_files(rows), as_json)
    if problem is not None:
        raise problem


def evaluate(
    bundle: BundlePath,
    data: DataPath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables and the confusion matrix [default: none].")
    ] = None,
    flips: Flips = False,
    groups: Annotated[
        Path | None,
        typer.Option(
            help="JSON file that maps each class to a coarse group [default: groups.json of the data, if any]."
        ),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a bundle on labelled images, without those that training or model selection used."""
    from ..bundles.evaluate import evaluate_bundle
    from ..trials.device import choose_device

    with shown_progress():
        rows = evaluate_bundle(bundle, data, device=choose_device(device), out=out, flips=flips, groups=groups)
    print_result(rows, as_json)
