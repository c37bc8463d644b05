"""`venation report`: one page about a study or a bundle, and its figures."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UserError
from .groups import examples
from .shared import ArtifactsUrl, Device, StorageUrl, open_both

REPORT_EXAMPLES = examples("report soy -o report/", "report soy.bundle -o report/ --data leaves/")


def report(
    subject: Annotated[str, typer.Argument(metavar="STUDY|BUNDLE", help="Name of a study, or path of a bundle.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for report.html and figures/; replaces an earlier report.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder or CSV file of the images [default: the path that the study has, none of a bundle]."),
    ] = None,
    device: Device = "auto",
    network: Annotated[
        bool,
        typer.Option("--network/--no-network", help="Run the study's best network for overlays and the leak check."),
    ] = True,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Write one HTML page that opens offline, and its figures as PNG; print the page's path."""
    from ..reports.bundle_report import report_bundle
    from ..reports.output import check_free
    from ..reports.study_report import report_study
    from ..studies.registry import open_study

    check_free(out)
    if _is_bundle(subject):
        typer.echo(report_bundle(Path(subject), out, data=data, device=device))
        return
    database, store = open_both(storage, artifacts)
    typer.echo(report_study(open_study(database, subject), store, out, data=data, device=device if network else None))


def _is_bundle(subject: str) -> bool:
    """Return whether ``subject`` is the path of a bundle; a study may have a folder's name."""
    from ..bundles.record import RECORD

    path = Path(subject)
    if path.is_file() or (path / RECORD).is_file():
        return True
    if not path.exists() and (path.suffix in (".zip", ".bundle") or len(path.parts) > 1):
        raise UserError(f"there is no bundle `{subject}`; give its folder or .zip, or the name of a study.")
    return False
