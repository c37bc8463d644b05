"""Load a bundle and predict image files with it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.progress import tracked
from ..errors import DataError
from ..trials.flips import trained_flips
from ..trials.image_predictor import ImagePredictor
from ..trials.prediction import expand_paths, heat_class
from .annotations import Annotations, check_target
from .bundle import open_verified
from .compact import Precision
from .open_predictor import RunnerName, open_predictor
from .picture_files import PICTURES
from .prediction_files import FAILED, PredictionFolder, Run
from .record import BundleRecord
from .write_coco import write_coco
from .write_label_studio import write_label_studio

log = logging.getLogger(__name__)

_SHOWN = 3


class PartlyRead(DataError):
    """Some images could not be decoded; ``rows`` are the written predictions of the others."""

    def __init__(self, message: str, rows: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.rows = list(rows)


@dataclass(frozen=True)
class PredictOptions:
    """Options of a prediction: the files of each image, and the way to predict it.

    ``heatmap`` may name the class that the maps show. ``flips`` as in ``ImagePredictor``,
    ``runner`` and ``precision`` as in ``open_predictor``. The column ``answer`` is ``unknown``
    below ``min_probability``, by default the bundle's. ``resume`` keeps the rows of an earlier run.
    ``coco`` and ``label_studio`` name JSON files to write in the end.
    """

    overlay: bool = False
    heatmap: bool | str = False
    kept: bool = False
    flips: bool = False
    min_probability: float | None = None
    batch_size: int = 16
    device: str = "auto"
    runner: RunnerName = "auto"
    precision: Precision = "fp32"
    resume: bool = False
    coco: Path | None = None
    label_studio: Path | None = None

    def open(self, bundle: Path) -> tuple[ImagePredictor, BundleRecord]:
        """Return the predictor and the record of a bundle. Raises UserError for a bad one."""
        pictures = {"--heatmap": bool(self.heatmap), "--kept": self.kept}
        wanted = tuple(name for name, asked in pictures.items() if asked)
        with open_verified(bundle) as (folder, record):
            predictor = open_predictor(
                folder,
                record,
                runner=self.runner,
                device=self.device,
                flips=self.flips,
                pictures=wanted,
                precision=self.precision,
            )
        return predictor, record

    def run(self, record: BundleRecord) -> Run:
        """Return what all rows of such a run have in common."""
        asked = {"mask": True, "overlay": self.overlay, "heatmap": bool(self.heatmap), "kept": self.kept}
        return Run(
            tuple(column for column, wanted in asked.items() if wanted),
            record.min_probability if self.min_probability is None else self.min_probability,
            self.heatmap if isinstance(self.heatmap, str) else None,
            record.record_sha256,
            self.flips,
            self.precision,
        )


def predict_paths(bundle: Path, paths: Sequence[Path], out: Path, **options: Any) -> list[dict[str, Any]]:
    """Return the rows of ``predict_rows`` as a list; ``options`` are fields of PredictOptions."""
    rows: list[dict[str, Any]] = []
    try:
        for row in predict_rows(bundle, paths, out, PredictOptions(**options)):
            rows.append(row)
    except PartlyRead as error:
        raise PartlyRead(str(error), rows) from None
    return rows


def predict_rows(bundle: Path, paths: Sequence[Path], out: Path, options: PredictOptions) -> Iterator[dict[str, Any]]:
    """Predict every image of ``paths`` (see ``expand_paths``) and yield a row for each.

    Writes ``predictions.csv`` row by row and, if the bundle segments, ``masks/*.png`` into ``out``:
    0/255, or the numbers of mask classes, at the image's size. Optional: ``overlays/*.jpg``,
    ``heatmaps/*.jpg`` and, if a plug-in module selects positions, ``kept/*.png``. ``failed.csv``
    lists images that cannot be decoded. The files that the tables of an earlier run list are
    removed, or with ``resume`` kept: only images without a row are then predicted, and yielded.
    Files in the folders of pictures are not read as input.

    Raises UserError for a bad bundle; DataError for paths without images, and at the end, as
    PartlyRead, if some cannot be decoded; UsageError if a run of another kind is to be resumed.
    """
    for target, name in ((options.coco, "--coco"), (options.label_studio, "--label-studio")):
        if target is not None:
            check_target(target, name)
    images = expand_paths(paths, exclude=[out, *(out / kind for kind in PICTURES.values())])
    predictor, record = options.open(bundle)
    heat_class(options.heatmap, record.classes)  # a name that does not exist leaves the folder as it is
    if options.overlay and not predictor.runner.has_masks:
        log.warning("the bundle has no decoder: there are no masks to overlay")
    if options.kept and not predictor.runner.selects:
        log.warning("the bundle has no plug-in module: no positions are selected, so none are drawn")
    warn_without_flips(record, options.flips)
    run = options.run(record)
    output = PredictionFolder(out, images, record.config.data, run, resume=options.resume)
    if output.kept:
        log.info("%d images have a row already, %d are left", output.kept, len(output.images))
    found = predictor.predict_images(
        output.images,
        batch_size=options.batch_size,
        heat=options.heatmap,
        kept=options.kept,
        pixels=len(run.pictures) > 1,
    )
    total = len(output.images)
    try:
        for prediction, path in zip(tracked(found, "predicting", total), output.images, strict=True):
            if isinstance(prediction, DataError):
                output.add_failure(path, prediction)
            else:
                yield output.add(prediction, path)
    finally:
        output.close()
    found_here = Annotations(out, images, record.classes, predictor.runner.mask_classes)
    if options.coco is not None:
        write_coco(options.coco, found_here)
    if options.label_studio is not None:
        write_label_studio(options.label_studio, found_here, version=f"{bundle.name} {record.record_sha256[:12]}")
    if output.failures:
        reasons = [failure["reason"] for failure in output.failures]
        raise PartlyRead(_unreadable_message(reasons, total, out / FAILED))


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
