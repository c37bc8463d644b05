"""`venation bundle`: export, verify and look at bundles."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .groups import new_group
from .shared import ArtifactsUrl, AsJson, BundlePath, Device, StorageUrl, StudyNames, open_both, print_result

app = new_group("Export, verify and look at bundles.")


@app.command("export")
def bundle_export(
    studies: StudyNames,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip file to create.")],
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    device: Device = "auto",
    top: Annotated[int, typer.Option(min=1, help="How many trials of a study may answer together.")] = 1,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Write the best trials as one bundle, scored once on the sealed test part; print its path."""
    from ..studies.export import export_studies

    database, store = open_both(storage, artifacts)
    typer.echo(export_studies(database, store, studies, out=out, data=data, device=device, top=top))


@app.command("import")
def bundle_import(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="File that PIM's or HERBS's code wrote.")],
    system: Annotated[Literal["pim", "herbs"], typer.Option(help="Whose checkpoint it is.")],
    classes: Annotated[Path, typer.Option(help="Text file of the class names, one a line, in the order of labels.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip file to create.")],
    encoder: Annotated[str, typer.Option(help="timm's name of its backbone.")] = "swin_large_patch4_window12_384",
    size: Annotated[int, typer.Option(help="Side of its images in pixels.")] = 384,
    keep: Annotated[str | None, typer.Option(help="Positions kept at each level, A,B,C,D, if not published.")] = None,
    samples: Annotated[Path | None, typer.Option(help="Images to verify the bundle by; none: drawn leaves.")] = None,
) -> None:
    """Write a published checkpoint of PIM or HERBS as a bundle that predicts; print its path."""
    from ..bundles.import_checkpoint import import_checkpoint

    counts = None if keep is None else _numbers(keep)
    typer.echo(
        import_checkpoint(
            checkpoint,
            system=system,
            classes=classes,
            out=out,
            encoder=encoder,
            size=size,
            keep=counts,
            samples=samples,
        )
    )


@app.command("check")
def bundle_check(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Verify a bundle: hashes, shapes, and that torch, ONNX and the stored samples agree."""
    from ..bundles.verify import check_bundle

    print_result(check_bundle(bundle), as_json)


@app.command("show")
def bundle_show(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Show what a bundle holds: studies, config, classes, metrics."""
    from ..bundles.bundle import read_record

    print_result(read_record(bundle).model_dump(mode="json"), as_json)


def _numbers(text: str) -> tuple[float, ...]:
    from ..errors import UsageError

    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"--keep {text} is no list of numbers: give one for each level, such as 256,128,64,32"
        ) from None
