"""`venation bundle`: export, verify and look at bundles."""

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    ArtifactsUrl,
    AsJson,
    BundlePath,
    Device,
    StorageUrl,
    StudyNames,
    new_group,
    open_both,
    print_result,
)

app = new_group("Export, verify and look at bundles.")


@app.command("export")
def bundle_export(
    studies: StudyNames,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip file to create.")],
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    device: Device = "auto",
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Write the best trials as one bundle, scored once on the sealed test part; print its path."""
    from ..search.export import export_studies

    database, store = open_both(storage, artifacts)
    typer.echo(export_studies(database, store, studies, out=out, data=data, device=device))


@app.command("check")
def bundle_check(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Verify a bundle: hashes, shapes, and that torch, ONNX and the stored samples agree."""
    from ..storage.verify import check_bundle

    print_result(check_bundle(bundle), as_json)


@app.command("show")
def bundle_show(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Show what a bundle holds: studies, config, classes, metrics."""
    from ..storage.bundles import read_record

    print_result(read_record(bundle).model_dump(mode="json"), as_json)
