"""Load a bundle and predict image files with it."""

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..data.images import read_image
from ..errors import DataError
from ..models.build import build_network
from ..models.ensemble_network import build_ensemble
from ..models.network import MultitaskNetwork
from ..trials.booster import Booster
from ..trials.checkpoint import load_weights, read_weights
from ..trials.flips import trained_flips
from ..trials.overlay import draw_heat, draw_kept, draw_mask
from ..trials.predict import Prediction, Predictor, expand_paths
from .bundle import BOOSTER, WEIGHTS, BundleRecord, open_verified
from .tables import as_png, write_output

log = logging.getLogger(__name__)

PICTURES = ("masks", "overlays", "heatmaps", "kept")

_SHOWN = 3


class PartlyRead(DataError):
    """Some images could not be decoded; ``rows`` are the written predictions of the others."""

    def __init__(self, message: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


@dataclass(frozen=True)
class LoadedBundle:
    """An opened bundle, ready to predict."""

    record: BundleRecord
    network: MultitaskNetwork
    booster: Booster | None


def load_parts(folder: Path, record: BundleRecord) -> LoadedBundle:
    """Return the network and the booster of an opened bundle.

    The network is in eval mode on the CPU, an Ensemble if the bundle has members.
    """
    network = _empty_network(record)
    load_weights(network, read_weights(folder / WEIGHTS), source=WEIGHTS)
    booster = Booster.load(folder / BOOSTER) if BOOSTER in record.files else None
    return LoadedBundle(record, network.eval(), booster)


def _empty_network(record: BundleRecord) -> MultitaskNetwork:
    classes = len(record.classes)
    first = record.config.with_random_encoder().network(classes)
    if not record.members:
        return build_network(first)
    members = {kind: record.members_of(kind) for kind in ("classifier", "decoder")}
    rest = {
        kind: [member.config.with_random_encoder().network(classes) for member in group[1:]]
        for kind, group in members.items()
    }
    weights = {kind: [member.weight for member in group] or [1.0] for kind, group in members.items()}
    return build_ensemble(
        first,
        others=rest["classifier"],
        masks=rest["decoder"],
        label_weights=weights["classifier"],
        mask_weights=weights["decoder"],
    )


def predict_paths(
    bundle: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    overlay: bool = False,
    heatmap: bool = False,
    kept: bool = False,
    flips: bool = False,
    batch_size: int = 16,
    device: torch.device | None = None,
) -> list[dict[str, Any]]:
    """Predict every image of ``paths`` (files and folders) and return a row for each.

    Writes ``predictions.csv`` and, if the bundle segments, ``masks/*.png`` (0/255, the image's
    size) into ``out``. Optional: ``overlays/*.png``, ``heatmaps/*.png`` and, if a plug-in module
    selects positions, ``kept/*.png``. Files in these folders are not read as input. ``flips`` as in
    ``Predictor``. Raises UserError for a bad bundle; DataError for paths without images, and at the
    end, as PartlyRead, if some cannot be decoded.
    """
    images = expand_paths(paths, exclude=[out, *(out / kind for kind in PICTURES)])
    with open_verified(bundle) as (folder, record):
        parts = load_parts(folder, record)
    if overlay and parts.network.decoder is None:
        log.warning("the bundle has no decoder: there are no masks to overlay")
    if kept and parts.network.plugin is None:
        log.warning("the bundle has no plug-in module: no positions are selected, so none are drawn")
    warn_without_flips(record, flips)
    predictor = Predictor(
        parts.network, record.classes, record.config.data, booster=parts.booster, device=device, flips=flips
    )
    found = predictor.predict_images(images, batch_size=batch_size, heat=heatmap, kept=kept)
    rows, unreadable = [], []
    for prediction, path, name in zip(found, images, _picture_names(images), strict=True):
        if isinstance(prediction, DataError):
            unreadable.append(str(prediction))
            continue
        _write_pictures(prediction, path, out, name, overlay=overlay)
        rows.append(_row(prediction, path))
    if rows:
        write_output(out / "predictions.csv", as_csv(rows).encode())
    if unreadable:
        raise PartlyRead(_unreadable_message(unreadable, len(images)), rows)
    return rows


def _unreadable_message(errors: Sequence[str], images: int) -> str:
    """Return the first errors in one line, with the number of failed images."""
    if images == 1:
        return errors[0]
    more = "; ..." if len(errors) > _SHOWN else ""
    return f"{len(errors)} of {images} images were not predicted: {'; '.join(errors[:_SHOWN])}{more}"


def warn_without_flips(record: BundleRecord, flips: bool) -> None:
    """Log a warning if the caller asks for flips and the bundle was trained without any."""
    if flips and len(trained_flips(record.config.data)) == 1:
        log.warning("the bundle was trained without flips, so none are made")


def _picture_names(images: Sequence[Path]) -> list[str]:
    """Return a unique file name for each image.

    It is the image's stem, preceded by the folder's name if two images share the stem.
    """
    stems = [path.stem for path in images]
    named = [
        stem if stems.count(stem) == 1 else f"{path.parent.name}_{stem}"
        for path, stem in zip(images, stems, strict=True)
    ]
    return [name if named.count(name) == 1 else f"{index:05d}_{name}" for index, name in enumerate(named)]


def _write_pictures(prediction: Prediction, image: Path, out: Path, name: str, *, overlay: bool) -> None:
    pictures = {}
    if prediction.mask is not None:
        pictures["masks"] = Image.fromarray(prediction.mask)
        if overlay:
            pictures["overlays"] = draw_mask(read_image(image), prediction.mask)
    if prediction.heat is not None:
        pictures["heatmaps"] = draw_heat(read_image(image), prediction.heat)
    if prediction.kept is not None:
        pictures["kept"] = draw_kept(read_image(image), prediction.kept)
    for folder, picture in pictures.items():
        write_output(out / folder / f"{name}.png", as_png(picture))


def _row(prediction: Prediction, path: Path) -> dict[str, Any]:
    share = None if prediction.mask is None else round(float((prediction.mask > 0).mean()), 4)
    return {
        "path": str(path),
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "mask_share": share,
        "top": [f"{label} {probability:.3f}" for label, probability in prediction.top[:3]],
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows of predictions as CSV; the top classes are joined by ``; ``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"top": "; ".join(row["top"])} for row in rows)
    return text.getvalue()
