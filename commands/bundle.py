"""`venation bundle`: export, import, verify and show bundles."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .bars import shown_progress
from .groups import examples, new_group
from .shared import (
    ArtifactsUrl,
    AsJson,
    BundlePath,
    DataOverride,
    Device,
    OutBundle,
    StorageUrl,
    StudyNames,
    open_both,
    print_result,
)

app = new_group("Export, import, verify and show bundles.")


@app.command(
    "export",
    epilog=examples(
        "bundle export soy-veins soy-boost -o soy.bundle",
        "bundle export soy --top 3 -o soy.zip",
        "bundle export soy -o small.bundle --precision int8",
    ),
)
def bundle_export(
    studies: StudyNames,
    out: OutBundle,
    data: DataOverride = None,
    device: Device = "auto",
    top: Annotated[
        int,
        typer.Option(min=1, help="Largest ensemble of one study's best trials to try; 1 exports the best trial alone."),
    ] = 1,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="Also write the ONNX graphs in this precision, fp16 or int8, and what that loses and gains on the"
            " validation split; repeatable."
        ),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="File of a private key to sign the bundle with; see `bundle key`."),
    ] = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Write the best trials as one bundle, score it once on the test split, and print its path."""
    from ..bundles.compact import low_precisions
    from ..bundles.sign import check_key, sign_bundle
    from ..studies.export import export_studies

    if sign is not None:
        check_key(sign)
    precisions = low_precisions(precision or ())
    database, store = open_both(storage, artifacts)
    with shown_progress():
        path = export_studies(
            database,
            store,
            studies,
            out=out,
            data=data,
            device=device,
            top=top,
            precisions=precisions,
        )
    if sign is not None:
        typer.echo(f"signed by {sign_bundle(path, sign)}", err=True)
    typer.echo(path)


@app.command("import")
def bundle_import(
    checkpoint: Annotated[
        Path,
        typer.Argument(metavar="CHECKPOINT", help="Checkpoint file of the published code of a system."),
    ],
    system: Annotated[
        Literal["pim", "herbs", "mganet", "xmnet", "mnsa"], typer.Option(help="System that wrote the checkpoint.")
    ],
    classes: Annotated[
        Path, typer.Option(help="Text file of the class names, one on each line, in the order of the labels.")
    ],
    out: OutBundle,
    encoder: Annotated[
        str | None,
        typer.Option(help="Name of the encoder in timm [default: Swin-L; of mganet, xmnet, mnsa densenet161]."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the input images in pixels [default: 384; 448 likewise].")
    ] = None,
    resize: Annotated[
        int | None,
        typer.Option(
            help="Side in pixels to which an image of pim, herbs is resized before it is cropped [default: 510]."
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Numbers of positions that each level keeps, A,B,C,D [default: the published ones]."),
    ] = None,
    gate_from: Annotated[
        int | None,
        typer.Option(min=1, max=6, help="First level whose skip is gated in a decoder of xmnet [default: 3]."),
    ] = None,
    samples: Annotated[
        Path | None, typer.Option(help="Folder of images to verify the bundle with [default: generated leaves].")
    ] = None,
) -> None:
    """Write a published checkpoint as a bundle that predicts; print its path."""
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
            resize=resize,
            keep=counts,
            gate_from=gate_from,
            samples=samples,
        )
    )


@app.command("check")
def bundle_check(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Verify a bundle: hashes, shapes, and that torch, ONNX and the stored samples agree."""
    from ..bundles.verify import check_bundle

    print_result(check_bundle(bundle), as_json)
    typer.echo("the bundle is intact: its files, samples, torch and ONNX agree", err=True)


@app.command("key", epilog=examples("bundle key lab.key"))
def bundle_key(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="File of the new private key; PATH.pub is the public one.")
    ],
) -> None:
    """Make a key to sign bundles with, and print the file of its public key.

    Keep the private key. Those who set VENATION_TRUSTED_KEYS to the public key open no other
    bundles than yours.
    """
    from ..bundles.signature import keys

    public = keys().make_key(path)
    typer.echo(f"keep `{path}` to yourself, and give away the public key:", err=True)
    typer.echo(public)


@app.command("sign", epilog=examples("bundle sign soy.bundle --key lab.key"))
def bundle_sign(
    bundle: BundlePath,
    key: Annotated[Path, typer.Option(help="File of the private key: ed25519 in PEM, without a password.")],
) -> None:
    """Sign a bundle and print the fingerprint of the key."""
    from ..bundles.sign import sign_bundle

    typer.echo(sign_bundle(bundle, key))


@app.command("show")
def bundle_show(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Show origin, scores, classes and view of a bundle; --json shows the whole record."""
    from ..bundles.bundle import read_record
    from .show_bundle import show_bundle

    record = read_record(bundle)
    if not as_json:
        show_bundle(record, bundle)
        return
    shown = record.model_dump(mode="json")
    if record.versus_probe is not None:
        shown["versus_probe"] = {"says": record.versus_probe.sentence(), **shown["versus_probe"]}
    print_result(shown, as_json=True)


def _numbers(text: str) -> tuple[float, ...]:
    from ..errors import UsageError

    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"--keep {text} is no list of numbers: give one for each level, such as 256,128,64,32"
        ) from None
