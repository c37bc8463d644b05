"""Score a bundle on labelled images that it was not trained or selected on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.groups import find_groups, read_groups
from ..data.left_out import left_out_of
from ..data.manifest import Manifest, Sample, load_manifest
from ..data.progress import tracked
from ..data.samples import relative_key
from ..errors import DataError
from ..trials.background import describe_background
from ..trials.evaluate import Score
from ..trials.unknown import answer
from .bundle import open_verified
from .group_scores import GroupScore, group_accuracy, group_scores
from .load_network import LoadedBundle, load_parts
from .output_files import make_folder
from .picture_files import PictureFiles
from .picture_names import picture_names
from .predict import warn_without_flips
from .record import BundleRecord
from .scoring import ScoreReport, read_image_hashes, score_network, select_unseen
from .tables import ScoredImages, write_images, write_tables

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unseen:
    """A loaded bundle, a data set, and the samples that the bundle was not made with, by split."""

    parts: LoadedBundle
    manifest: Manifest
    samples: Mapping[str, Sequence[Sample]]

    def score(self, samples: Sequence[Sample], *, device: torch.device, flips: bool = False) -> ScoreReport:
        """Return the scores of the bundle on ``samples``; see ``score_network``."""
        record = self.parts.record
        return score_network(
            self.parts.network,
            self.parts.booster,
            samples,
            record.classes,
            record.config.data,
            mask_view=record.mask_view,
            device=device,
            flips=flips,
            by_head=True,
        )


def open_unseen(bundle: Path, data: Path) -> Unseen:
    """Load a bundle and the images of ``data`` to score it on; see ``evaluate_bundle``."""
    with open_verified(bundle) as (folder, record):
        parts, hashes = load_parts(folder, record), read_image_hashes(folder, record)
    manifest = load_manifest(data).with_mask_classes(parts.network.mask_classes)
    return Unseen(parts, manifest, _unseen_splits(manifest, data, record, hashes))


def evaluate_bundle(
    bundle: Path,
    data: Path,
    *,
    device: torch.device,
    out: Path | None = None,
    flips: bool = False,
    groups: Path | None = None,
    overlay: bool = False,
) -> list[dict[str, Any]]:
    """Return scores of the bundle on labelled images as rows with 95 % intervals.

    With ``out``, write the tables there too, and with ``overlay`` each image's mask and overlay. If
    the data have a ``groups.json``, or ``groups`` names another such file, there are rows for the
    coarse groups: ``group_accuracy`` over all, ``fine_accuracy/GROUP`` and ``outer_errors/GROUP``
    for groups with several classes (HERBS, section 7). With a plug-in module there are rows for
    each of its heads; see ``head_outcomes``. ``flips`` as in ``Predictor``.

    Images that the bundle was trained or selected on are skipped, identified by their bytes. Images
    of its test split are scored as part ``test``, all others as ``new``. Raises DataError if the
    data have a class or a mask class that the bundle does not have, or no other images, or if the
    groups do not fit; UserError if ``out`` cannot be written.
    """
    unseen = open_unseen(bundle, data)
    record = unseen.parts.record
    if remark := left_out_of(unseen.manifest):
        log.warning("%s: %s", data, remark)
    groups_file = groups or find_groups(unseen.manifest.root)
    coarse = read_groups(groups_file, record.classes) if groups_file is not None else None
    if out is not None:
        make_folder(out)
    warn_without_flips(record, flips)
    rows: list[dict[str, Any]] = []
    images: dict[str, ScoredImages] = {}
    files = _write_pictures(unseen, out, device, flips) if overlay and out is not None else {}
    by_group: dict[str, list[GroupScore]] = {}
    for split, samples in unseen.samples.items():
        report = unseen.score(samples, device=device, flips=flips)
        paths, none = _paths(samples, unseen.manifest.root), [dict[str, str | None]()] * len(samples)
        images[split] = ScoredImages(paths, report.labels, report.probability_IN, files.get(split, none))
        if said := describe_background(report.scores):
            log.warning("%s images: %s", split, said)
        scores = dict(report.scores)
        if coarse is not None:
            scores["group_accuracy"] = group_accuracy(report.labels, record.classes, coarse)
            by_group[split] = group_scores(report.labels, record.classes, coarse)
        rows += [_score_row(split, len(samples), name, score) for name, score in scores.items()]
        rows += _group_rows(split, by_group.get(split, []))
    if out is not None:
        labels = {split: scored.labels for split, scored in images.items()}
        write_tables(out, rows, labels, record.classes, by_group)
        write_images(out, images, record.classes)
    return rows


def _write_pictures(
    unseen: Unseen, out: Path, device: torch.device, flips: bool
) -> dict[str, list[Mapping[str, str | None]]]:
    """Write the mask and the overlay of every image below ``out``; return their paths by split."""
    record = unseen.parts.record
    predictor = unseen.parts.predictor(device=device, flips=flips)
    if not predictor.runner.has_masks:
        log.warning("the bundle has no decoder: there are no masks to overlay")
        return {}
    pictures = PictureFiles(out, ("mask", "overlay"), record.config.data)
    images = [sample.image for samples in unseen.samples.values() for sample in samples]
    names = dict(zip(images, picture_names(images), strict=True))
    found = tracked(predictor.predict_images(images, pixels=True), "drawing", len(images))

    def write(path: Path) -> Mapping[str, str | None]:
        prediction = next(found)
        if isinstance(prediction, DataError):
            raise prediction
        given = answer(prediction.label, prediction.probability, record.min_probability)
        return pictures.write(prediction, path, given, names[path])

    return {split: [write(sample.image) for sample in samples] for split, samples in unseen.samples.items()}


def _unseen_splits(
    manifest: Manifest, data: Path, record: BundleRecord, hashes: dict[str, list[str]]
) -> dict[str, list[Sample]]:
    """Return the samples to score by split; log the number of skipped images."""
    manifest = manifest.relabelled(record.classes)
    if unknown := sorted(set(manifest.classes) - set(record.classes)):
        raise DataError(
            f"`{data}` has classes that the bundle does not have ({', '.join(unknown[:5])}); its classes are:"
            f" {', '.join(record.classes[:20])}."
        )
    scored = select_unseen(manifest.samples, hashes)
    if not scored:
        raise DataError(f"`{data}` has only images that the bundle was trained or selected on; give new images.")
    if left_out := len(manifest.samples) - sum(map(len, scored.values())):
        log.warning("left out %d images: the bundle was trained or selected on them", left_out)
    return scored


def _paths(samples: Sequence[Sample], root: Path) -> list[str]:
    images = [sample.image for sample in samples]
    return [relative_key(image, root) if image.is_relative_to(root) else str(image) for image in images]


def _group_rows(split: str, scores: Sequence[GroupScore]) -> list[dict[str, Any]]:
    """Return two rows for every group of several classes; one class has no finer errors."""
    rows = []
    for score in scores:
        if score.classes > 1:
            rows.append(_score_row(split, score.images, f"fine_accuracy/{score.group}", score.fine_accuracy))
            rows.append(_score_row(split, score.images, f"outer_errors/{score.group}", score.outer_errors))
    return rows


def _score_row(split: str, images: int, name: str, score: Score) -> dict[str, Any]:
    return {"part": split, "images": images, "metric": name} | asdict(score)
