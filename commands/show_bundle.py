"""A bundle's record as text: origin, scores, classes, use."""

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ..bundles.record import FOLDS, BundleRecord, Source
from ..bundles.sign import signer
from ..data.data_config import DataConfig
from ..errors import UserError
from ..spaces.fields import changed_fields
from ..trials.background import describe_background
from .printing import format_settings, print_fields, print_rows

# The classes that are listed; --json lists all.
_LISTED = 20


def show_bundle(record: BundleRecord, path: Path) -> None:
    """Print the record of the bundle at ``path``."""
    versus = record.versus_probe
    fields: dict[str, Any] = {
        "answers": _answers(record),
        "from": None if record.cross_validation else "; ".join(_origin(record, source) for source in record.sources),
        "images": _images(record),
        "view": _view(record.config.data),
        "view of masks": None if record.mask_data is None else _view(record.mask_data),
        "classes": _listed(record.classes),
        "mask classes": _listed(record.config.decoder.classes),
        "config": format_settings(changed_fields(record.config)),
        "made": _made(record.provenance),
        "data": record.data_fingerprint[:12],
        "unknown": None if record.min_probability is None else f"below a probability of {record.min_probability:.4g}",
        "licence": record.licence,
        "signed": _signed(path),
        "files": _files(record),
    }
    print_fields(f"{path}: a bundle of {len(record.classes)} classes", fields)
    typer.echo()
    print_rows(_score_rows(record))
    for scores in (record.metrics.get("test", {}), record.metrics.get(FOLDS, {})):
        if leak := describe_background(scores):
            typer.echo(f"\n{leak}")
    for low in record.compact:
        lost = low.great_loss()
        typer.echo(f"\n{low.sentence()}{f'; NOTE: {lost}' if lost else ''}")
    if versus is not None:
        typer.echo(f"\n{versus.sentence()} ({versus.encoder}: accuracy {versus.accuracy:.3f})")
    typer.echo(f"\npredict: venation predict {shlex.quote(str(path))} PHOTOS -o out/")


def _signed(path: Path) -> str | None:
    try:
        found = signer(path)
    except UserError as error:
        return f"cannot be trusted: {error}"
    return None if found is None else f"by the key {found}"


def _answers(record: BundleRecord) -> str:
    config = record.config
    kinds = {source.kind for source in record.sources}
    label = f"labels by {config.encoder.name}"
    if "booster" in kinds:
        label += f" and {config.boost.booster}"
    return label if config.decoder.kind == "none" else f"{label}, masks by {config.decoder.kind}"


def _origin(record: BundleRecord, source: Source) -> str:
    members = record.members_of(source.kind)
    said = f"{source.kind} {source.study} trial {source.trial} ({source.objective} {source.value:.4g})"
    if record.has_folds(source.kind):
        return f"{said}, the mean of the networks of {len(members)} folds"
    return f"{said} and {len(members) - 1} more trials" if len(members) > 1 else said


def _images(record: BundleRecord) -> str:
    images = {"train": 0, "val": 0, "test": 0} | record.images
    if record.cross_validation is not None:
        return f"fitted on {images['train']}, cross-validated on {record.cross_validation.images}"
    return f"trained on {images['train']}, selected on {images['val']}, scored once on {images['test']} (sealed)"


def _view(view: DataConfig) -> str:
    height, width = view.size_HW
    scale = f" at {view.scale:g} times the image's size" if view.fit == "patch" else ""
    return f"{height} x {width} pixels (height x width), {view.fit}{scale}, {view.interpolation}"


def _listed(names: tuple[str, ...]) -> str:
    more = f", ... ({len(names)} in all; --json lists them)" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _made(provenance: Mapping[str, Any]) -> str:
    versions = provenance.get("versions", {})
    parts = [f"by Venation {versions['venation']}"] if "venation" in versions else []
    parts += [f"with torch {versions['torch']}"] if "torch" in versions else []
    parts += [f"on {provenance['device']}"] if provenance.get("device") else []
    if commit := provenance.get("commit"):
        parts.append(f"from commit {commit[:7]}{' with changes' if provenance.get('dirty') else ''}")
    return ", ".join(parts)


def _files(record: BundleRecord) -> str:
    top = [name for name in record.files if "/" not in name]
    inner = Counter(name.split("/")[0] for name in record.files if "/" in name)
    return ", ".join([*top, *(f"{folder}/ ({number})" for folder, number in inner.items())])


def _score_rows(record: BundleRecord) -> list[dict[str, Any]]:
    """Return a row for each metric, with a column for each part of the images."""
    table: dict[str, dict[str, Any]] = {}
    parts: dict[str, None] = {}
    for row in record.score_rows():
        part = f"{_PARTS.get(row['part'], row['part'])} ({row['images']} images)"
        parts[part] = None
        score = f"{row['value']:.4g} ({row['low']:.4g} to {row['high']:.4g})"
        table.setdefault(row["metric"], {})[part] = score
    return [{"metric": name, **dict.fromkeys(parts), **cells} for name, cells in table.items()]


_PARTS = {"val": "validation", "test": "test", FOLDS: FOLDS}
