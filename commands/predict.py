"""`venation predict` and `venation evaluate`: use a bundle on images."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..errors import UsageError
from .bars import shown_progress
from .groups import examples
from .shared import AsJson, BundlePath, DataPath, Device, Runner, print_result

PREDICT_EXAMPLES = examples(
    "predict soy.bundle photos/ -o out/",
    "predict soy.bundle photos/ -o out/ --overlay --heatmap",
    "predict soy.bundle photos/ -o out/ --heat-class cultivar_01",
    "predict soy.bundle 'photos/**/*.jpg' -o out/ --resume",
    "predict soy.bundle - -o out/ --json < list.txt",
    "predict soy.bundle photos/ -o out/ --runner onnx --precision int8",
    "predict soy.bundle photos/ -o out/ --coco coco.json --label-studio tasks.json",
)
# A terminal has no use for more; the table on the disk has all.
_SHOWN_ROWS = 200

EVALUATE_EXAMPLES = examples("evaluate soy.bundle leaves/", "evaluate soy.bundle leaves/ -o report/ --json")

Flips = Annotated[
    bool, typer.Option("--flips", help="Average the predictions over mirror images, with the flips of the training.")
]


def predict(
    bundle: BundlePath,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", help="Images, folders of images, quoted patterns, or `-` for a list on standard input."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for predictions.csv, masks and pictures; replaces those of an earlier run."
        ),
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the rows of an earlier run into the folder; predict what is left.")
    ] = False,
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
    coco: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a COCO file (.json) with masks as run lengths.")
    ] = None,
    label_studio: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write pre-annotations for Label Studio (.json, and its .xml)."),
    ] = None,
    as_csv_text: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each image.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Number of images in one batch.")] = 16,
    device: Device = "auto",
    runner: Runner = "auto",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="Precision of the ONNX graphs to run; the bundle must have been exported with it."),
    ] = "fp32",
) -> None:
    """Predict labels and masks of images; the images need no labels."""
    from ..bundles.predict import PartlyRead, PredictOptions, predict_rows

    if as_csv_text and as_json:
        raise UsageError("--csv and --json were both given; give one of them.")
    given = [each for path in paths for each in (_listed_paths() if str(path) == "-" else [path])]
    options = PredictOptions(
        overlay=overlay,
        heatmap=heat_class if heat_class is not None else heatmap,
        kept=kept,
        flips=flips,
        min_probability=min_probability,
        batch_size=batch_size,
        device=device,
        runner=runner,
        precision=precision,
        resume=resume,
        coco=coco,
        label_studio=label_studio,
    )
    problem = None
    with _printed_rows(out, as_csv_text, as_json) as show, shown_progress():
        try:
            for row in predict_rows(bundle, given, out, options):
                show(row)
        except PartlyRead as error:
            problem = error
    if problem is not None:
        raise problem


def _listed_paths() -> list[Path]:
    """Return the paths of standard input: one a line, or with NUL bytes between them."""
    content = sys.stdin.buffer.read()
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    if not any(map(bytes.strip, names)):
        raise UsageError("`-` reads paths from standard input, one a line, and it has none.")
    return [Path(os.fsdecode(name)) for name in names if name.strip()]


@contextmanager
def _printed_rows(out: Path, as_csv_text: bool, as_json: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield a function that prints each row at once; rows of a table are printed at the end."""
    from ..bundles.prediction_table import PREDICTIONS, as_csv, for_reading

    shown: list[dict[str, Any]] = []
    count = 0

    def show(row: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if as_json:
            typer.echo(json.dumps(row))
        elif as_csv_text:
            typer.echo(as_csv([row], header=count == 1), nl=False)
        elif count <= _SHOWN_ROWS:
            shown.append(for_reading(row))

    yield show
    print_result(shown, as_json=False)
    if not (as_json or as_csv_text) and count > _SHOWN_ROWS:
        typer.echo(f"{count - _SHOWN_ROWS} more rows are in {out / PREDICTIONS}", err=True)


def evaluate(
    bundle: BundlePath,
    data: DataPath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for tables and the confusion matrix [default: none].")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also write the mask of each image, and the image with its mask on it.")
    ] = False,
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

    if overlay and out is None:
        raise UsageError("--overlay writes pictures; give the folder for them with -o.")
    with shown_progress():
        rows = evaluate_bundle(
            bundle, data, device=choose_device(device), out=out, flips=flips, groups=groups, overlay=overlay
        )
    print_result(rows, as_json)
