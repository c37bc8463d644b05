"""Load a bundle and predict image files with it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.progress import tracked
from ..errors import DataError
from ..trials.flips import trained_flips
from ..trials.prediction import expand_paths, heat_class
from .bundle import BundleRecord, open_verified
from .open_predictor import RunnerName, open_predictor
from .prediction_files import FAILED, PICTURES, PredictionFolder

log = logging.getLogger(__name__)

_SHOWN = 3


class PartlyRead(DataError):
    """Some images could not be decoded; ``rows`` are the written predictions of the others."""

    def __init__(self, message: str, rows: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.rows = rows


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
    device: str = "auto",
    runner: RunnerName = "auto",
) -> list[dict[str, Any]]:
    """Predict every image of ``paths`` (files and folders) and return a row for each.

    Writes ``predictions.csv`` and, if the bundle segments, ``masks/*.png`` into ``out``: 0/255, or
    the numbers of mask classes, at the image's size. Optional: ``overlays/*.jpg``,
    ``heatmaps/*.jpg`` and, if a plug-in module selects positions, ``kept/*.png``. ``failed.csv``
    lists images that cannot be decoded. The files that the tables of an earlier run list are
    removed. ``heatmap`` may name the class that the maps show. Files in the folders of pictures are
    not read as input. ``flips`` as in ``ImagePredictor``, ``runner`` as in ``open_predictor``.
    The column ``answer`` is ``unknown`` below ``min_probability``, by default the bundle's.

    Raises UserError for a bad bundle; DataError for paths without images, and at the end, as
    PartlyRead, if some cannot be decoded. After any other error, the tables list what was written.
    """
    images = expand_paths(paths, exclude=[out, *(out / kind for kind in PICTURES.values())])
    with open_verified(bundle) as (folder, record):
        pictures = {"--heatmap": bool(heatmap), "--kept": kept}
        wanted = tuple(name for name, asked in pictures.items() if asked)
        predictor = open_predictor(folder, record, runner=runner, device=device, flips=flips, pictures=wanted)
    heat_class(heatmap, record.classes)  # a name that does not exist leaves the folder as it is
    if overlay and not predictor.runner.has_masks:
        log.warning("the bundle has no decoder: there are no masks to overlay")
    if kept and not predictor.runner.selects:
        log.warning("the bundle has no plug-in module: no positions are selected, so none are drawn")
    warn_without_flips(record, flips)
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
