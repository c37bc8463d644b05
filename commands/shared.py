"""Arguments, options and helpers that several commands share."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..api.stores import open_both as open_both
from ..api.stores import open_database as open_database
from ..api.stores import open_to_write as open_to_write
from .completion import complete_studies

if TYPE_CHECKING:
    from ..search.handle import StudyHandle

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.", autocompletion=complete_studies)]
StudyNames = Annotated[
    list[str],
    typer.Argument(metavar="STUDY", help="Names of one or more studies.", autocompletion=complete_studies),
]
TrialNumber = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="Folder or CSV file of the images.")]
DataOverride = Annotated[
    Path | None,
    typer.Option(help="Folder or CSV file of the same images on this machine [default: the path that the study has]."),
]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or .zip file of the bundle.")]
OutBundle = Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip file to create.")]
StorageUrl = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="VENATION_STORAGE",
        show_envvar=True,
        help="PostgreSQL URL of the studies [default: an embedded server].",
    ),
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        envvar="VENATION_ARTIFACTS",
        show_envvar=True,
        help="Folder or URL for the files of trials [default: a folder of this machine].",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a config field and take it out of the search; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Runner = Annotated[
    Literal["auto", "torch", "onnx", "openvino"],
    typer.Option(
        help="What runs the network. onnx and openvino need no torch; auto is torch for heat maps and GPUs, else onnx."
    ),
]
Device = Annotated[str, typer.Option(help="Device to compute on: auto, cpu, cuda or cuda:N.")]


def open_named_study(storage: str | None, name: str, *, reading: bool = True) -> "StudyHandle":
    """Open the study ``name``, for reading only by default."""
    from ..studies.registry import open_study

    return open_study(open_database(storage, reading=reading), name)


def print_result(rows: Any, as_json: bool) -> None:
    """Print a list of rows as a table and one mapping as lines, or either as JSON."""
    from .printing import print_rows

    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    else:
        print_rows(rows)
