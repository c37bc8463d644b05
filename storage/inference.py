"""What users do with a bundle: predict and evaluate. No database, no Optuna."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..data.fingerprint import digests, fingerprint
from ..data.images import read_image
from ..data.manifest import Item, Manifest, load_manifest
from ..data.splits import assign_splits
from ..errors import DataError, UserError
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..trials.boost import Booster
from ..trials.checkpoint import load_weights
from ..trials.overlay import draw_heat, draw_mask
from ..trials.predict import Prediction, Predictor, expand_paths
from ..trials.weights import read_weights
from .bundles import BOOSTER, WEIGHTS, BundleRecord, damaged_files, load_record, opened
from .scoring import score_parts


@dataclass(frozen=True)
class LoadedBundle:
    """An opened bundle, ready to predict."""

    record: BundleRecord
    network: MultitaskNetwork
    booster: Booster | None


@contextmanager
def loaded(bundle: Path) -> Iterator[LoadedBundle]:
    """The bundle's network and booster; UserError if a file is missing or not the one that was exported."""
    with opened(bundle) as folder:
        record = load_record(folder)
        if damage := damaged_files(folder, record):
            raise UserError(f"bundle `{bundle}` is damaged: {'; '.join(damage)}. Copy or export it again.")
        yield load_parts(folder, record)


def load_parts(folder: Path, record: BundleRecord) -> LoadedBundle:
    """Network (in eval mode, on the CPU) and booster of an opened bundle."""
    network = build_network(record.config.bare().network(len(record.classes)))
    load_weights(network, read_weights(folder / WEIGHTS), source=WEIGHTS)
    booster = Booster.load(folder / BOOSTER) if BOOSTER in record.files else None
    return LoadedBundle(record, network.eval(), booster)


def predict_paths(
    bundle: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    overlay: bool = False,
    heatmap: bool = False,
    batch_size: int = 16,
    device: torch.device | None = None,
) -> list[dict[str, Any]]:
    """Predict every image of ``paths`` (files and folders) and return a row for each.

    Writes ``predictions.csv`` and, where the bundle segments, ``masks/*.png`` (0/255, the image's size) into ``out``;
    on request ``overlays/*.png`` and ``heatmaps/*.png``. Raises UserError for a bad bundle, DataError for a bad image.
    """
    images = expand_paths(paths)
    with loaded(bundle) as parts:
        predictor = Predictor(
            parts.network, parts.record.classes, parts.record.config.data, booster=parts.booster, device=device
        )
        names = _picture_names(images)
        rows = []
        for prediction, name in zip(predictor.predict(images, batch_size=batch_size, heat=heatmap), names, strict=True):
            _write_pictures(prediction, out, name, overlay=overlay)
            rows.append(_row(prediction))
    _write_rows(rows, out / "predictions.csv")
    return rows


def evaluate_bundle(bundle: Path, data: Path, *, device: torch.device) -> list[dict[str, Any]]:
    """Scores of the bundle on labelled images, as rows with 95 % intervals.

    On the data that it was made from only the sealed test part is scored; on others, every image. Raises DataError if
    the data have a class that the bundle does not know.
    """
    with loaded(bundle) as parts:
        record, manifest = parts.record, load_manifest(data)
        if unknown := sorted(set(manifest.classes) - set(record.classes)):
            raise DataError(
                f"`{data}` has classes that the bundle does not know ({', '.join(unknown[:5])}); its classes are:"
                f" {', '.join(record.classes[:20])}."
            )
        sealed = _sealed_part(manifest, record)
        part, items = ("all", manifest.items) if sealed is None else ("test", sealed)
        scores = score_parts(parts.network, parts.booster, items, record.classes, record.config, device=device)
    return [{"part": part, "images": len(items), "metric": name} | asdict(score) for name, score in scores.items()]


def _sealed_part(manifest: Manifest, record: BundleRecord) -> tuple[Item, ...] | None:
    """The test part if these are the bundle's own data, else None."""
    try:
        own = assign_splits(manifest, seed=record.split.seed, val=record.split.val, test=record.split.test)
    except DataError:
        return None
    return own.part("test") if fingerprint(digests(own)) == record.data_fingerprint else None


def _picture_names(images: Sequence[Path]) -> list[str]:
    """A file name for each image: its stem, with its folder's name in front where two images share one."""
    stems = [path.stem for path in images]
    named = [
        stem if stems.count(stem) == 1 else f"{path.parent.name}_{stem}"
        for path, stem in zip(images, stems, strict=True)
    ]
    return [name if named.count(name) == 1 else f"{index:05d}_{name}" for index, name in enumerate(named)]


def _write_pictures(prediction: Prediction, out: Path, name: str, *, overlay: bool) -> None:
    pictures = {}
    if prediction.mask is not None:
        pictures["masks"] = Image.fromarray(prediction.mask)
        if overlay:
            pictures["overlays"] = draw_mask(read_image(prediction.path), prediction.mask)
    if prediction.heat is not None:
        pictures["heatmaps"] = draw_heat(read_image(prediction.path), prediction.heat)
    for folder, picture in pictures.items():
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        _write(out / folder / f"{name}.png", buffer.getvalue())


def _row(prediction: Prediction) -> dict[str, Any]:
    share = None if prediction.mask is None else round(float((prediction.mask > 0).mean()), 4)
    return {
        "path": str(prediction.path),
        "label": prediction.label,
        "probability": round(prediction.probability, 6),
        "mask_share": share,
        "top": [f"{label} {probability:.3f}" for label, probability in prediction.top[:3]],
    }


def _write_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    _write(path, as_csv(rows).encode())


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of predictions as CSV, the leading classes joined by ``; ``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"top": "; ".join(row["top"])} for row in rows)
    return text.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write aside, then rename. Raises UserError if the disk is full or the folder cannot be made."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(
            f"cannot write `{path}` ({error.strerror}); make room or choose another folder with -o."
        ) from None
    finally:
        if aside.exists():
            aside.unlink()
