"""Load a bundle and predict image files with it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.progress import tracked
from ..errors import DataError, UserError
from ..models.build import build_network
from ..models.ensemble_network import build_ensemble
from ..models.memory_format import CPU, place
from ..models.network import MultitaskNetwork
from ..trials.booster import Booster
from ..trials.checkpoint import check_weights, load_weights, read_weights
from ..trials.flips import trained_flips
from ..trials.heat import heat_class
from ..trials.kinds import Kind
from ..trials.predict import Predictor, expand_paths
from .bundle import BOOSTER, RECORD, WEIGHTS, BundleRecord, open_verified
from .prediction_files import FAILED, PICTURES, PredictionFolder

log = logging.getLogger(__name__)

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

    def predictor(self, *, device: torch.device | None, flips: bool) -> Predictor:
        """Return the predictor of the bundle's network, classes, views and booster."""
        return Predictor(
            self.network,
            self.record.classes,
            self.record.config.data,
            mask_config=self.record.second_view,
            booster=self.booster,
            device=device,
            flips=flips,
        )


def load_parts(folder: Path, record: BundleRecord) -> LoadedBundle:
    """Return the network and the booster of an opened bundle.

    The network is in eval mode on the CPU, an Ensemble if the bundle has members.
    """
    weights = read_weights(folder / WEIGHTS)
    _check_config(record, weights)
    network = _empty_network(record)
    load_weights(network, weights, source=WEIGHTS)
    booster = Booster.load(folder / BOOSTER) if BOOSTER in record.files else None
    if booster is not None and booster.num_classes != len(record.classes):
        raise UserError(
            f"{BOOSTER} has {booster.num_classes} classes, {RECORD} has {len(record.classes)}: export again."
        )
    return LoadedBundle(record, place(network, CPU).eval(), booster)


def _check_config(record: BundleRecord, weights: Mapping[str, Tensor]) -> None:
    """Compare the record's network with the weights before it takes memory and time."""
    try:
        with torch.device("meta"):
            network = _empty_network(record)
    except UserError:
        raise
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the network of {RECORD} cannot be built ({reason}); export the bundle again.") from None
    check_weights(network, weights, source=WEIGHTS)


def _empty_network(record: BundleRecord) -> MultitaskNetwork:
    classes = len(record.classes)
    first = record.config.with_random_encoder().network(classes)
    if not record.members:
        return build_network(first)
    both = record.members_of(Kind.MULTITASK)
    members = {"label": both or record.members_of(Kind.CLASSIFIER), "mask": record.members_of(Kind.DECODER)}
    rest = {
        kind: [member.config.with_random_encoder().network(classes) for member in group[1:]]
        for kind, group in members.items()
    }
    weights = {kind: [member.weight for member in group] or [1.0] for kind, group in members.items()}
    # Whole networks share their mean between label and mask.
    if both:
        weights["mask"] = weights["label"][:1]
    return build_ensemble(
        first,
        others=rest["label"],
        masks=rest["mask"],
        label_weights=weights["label"],
        mask_weights=weights["mask"],
        whole=bool(both),
    )


def predict_paths(
    bundle: Path,
    paths: Sequence[Path],
    out: Path,
    *,
    overlay: bool = False,
    heatmap: bool | str = False,
    kept: bool = False,
    flips: bool = False,
    min_probability: float | None = None,
    batch_size: int = 16,
    device: torch.device | None = None,
) -> list[dict[str, Any]]:
    """Predict every image of ``paths`` (files and folders) and return a row for each.

    Writes ``predictions.csv`` and, if the bundle segments, ``masks/*.png`` into ``out``: 0/255, or
    the numbers of mask classes, at the image's size. Optional: ``overlays/*.jpg``,
    ``heatmaps/*.jpg`` and, if a plug-in module selects positions, ``kept/*.png``. ``failed.csv``
    lists images that cannot be decoded. The files that the tables of an earlier run list are
    removed. ``heatmap`` may name the class that the maps show. Files in the folders of pictures are
    not read as input. ``flips`` as in ``Predictor``.
    The column ``answer`` is ``unknown`` below ``min_probability``, by default the bundle's.

    Raises UserError for a bad bundle; DataError for paths without images, and at the end, as
    PartlyRead, if some cannot be decoded. After any other error, the tables list what was written.
    """
    images = expand_paths(paths, exclude=[out, *(out / kind for kind in PICTURES.values())])
    with open_verified(bundle) as (folder, record):
        parts = load_parts(folder, record)
    heat_class(heatmap, record.classes)  # a name that does not exist leaves the folder as it is
    if overlay and parts.network.decoder is None:
        log.warning("the bundle has no decoder: there are no masks to overlay")
    if kept and parts.network.plugin is None:
        log.warning("the bundle has no plug-in module: no positions are selected, so none are drawn")
    warn_without_flips(record, flips)
    predictor = parts.predictor(device=device, flips=flips)
    asked = {"mask": True, "overlay": overlay, "heatmap": bool(heatmap), "kept": kept}
    columns = [column for column, wanted in asked.items() if wanted]
    threshold = record.min_probability if min_probability is None else min_probability
    heat_label = heatmap if isinstance(heatmap, str) else None
    output = PredictionFolder(out, images, columns, record.config.data, threshold=threshold, heat_label=heat_label)
    found = predictor.predict_images(images, batch_size=batch_size, heat=heatmap, kept=kept, pixels=len(columns) > 1)
    try:
        for prediction, path in zip(tracked(found, "predicting", len(images)), images, strict=True):
            if isinstance(prediction, DataError):
                output.add_failure(path, prediction)
            else:
                output.add(prediction, path)
    finally:
        output.write_tables()
    if output.failures:
        reasons = [failure["reason"] for failure in output.failures]
        raise PartlyRead(_unreadable_message(reasons, len(images), out / FAILED), output.rows)
    return output.rows


def _unreadable_message(errors: Sequence[str], images: int, table: Path) -> str:
    """Return the first errors in one line, with the number of failed images and their table."""
    if images == 1:
        return errors[0]
    more = "; ..." if len(errors) > _SHOWN else ""
    listed = "; ".join(errors[:_SHOWN])
    return f"{len(errors)} of {images} images were not predicted: {listed}{more} (all are listed in `{table}`)"


def warn_without_flips(record: BundleRecord, flips: bool) -> None:
    """Log a warning if the caller asks for flips and the bundle was trained without any."""
    if flips and len(trained_flips(record.config.data)) == len(trained_flips(record.mask_view)) == 1:
        log.warning("the bundle was trained without flips, so none are made")
