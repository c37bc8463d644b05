"""Write masks for images without one by a bundle's decoder, out of fold.

No decoder segments images of groups that it was trained on.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from ..data.fingerprint import digests, file_hash, fingerprint
from ..data.manifest import Manifest, Sample, load_manifest
from ..data.samples import relative_key
from ..data.scan_csv import CSV_NAME
from ..data.splits import assign_splits
from ..errors import DataError, UsageError, UserError
from ..models.network import MultitaskNetwork
from ..trials.kinds import Kind
from ..trials.predict import Predictor
from .bundle import open_verified
from .load_network import LoadedBundle, load_parts
from .mask_folder import MaskFile, MaskFolder, PredictedMask, classes_to_write, read_predicted_masks
from .mask_folds import assign_folds, merge_groups, train_decoder
from .predict import PartlyRead
from .record import BundleRecord, Source
from .scoring import read_image_hashes

log = logging.getLogger(__name__)

BATCH_SIZE = 16
FOLDS = range(2, 101)

_SHOWN = 3


def write_masks(
    bundle: Path,
    data: Path,
    *,
    out: Path | None = None,
    folds: int | None = None,
    everything: bool = False,
    device: torch.device | None = None,
) -> list[dict[str, Any]]:
    """Write a mask for every image of ``data`` without one; return a row for each new mask.

    Masks go next to the images, as ``masks/<class>/<stem>.png`` (0/255, the upright image's size),
    or with ``out`` into a copy of the data with a ``manifest.csv``. ``everything`` (only with
    ``out``) also predicts images that have a mask. Existing mask files are not replaced, so a
    second call resumes the first.

    The bundle's decoder predicts images of groups that it was not trained on. Images of its
    training groups need ``folds``: for each fold a decoder is trained on the masks of the others.
    Raises UsageError if ``folds`` is missing, or for data listed by a CSV without ``out``;
    UserError for a bundle without a trained decoder; DataError for data that cannot be used, and at
    the end, as PartlyRead, if some images could not be decoded.
    """
    with open_verified(bundle) as (folder, record):
        parts, hashes = load_parts(folder, record), read_image_hashes(folder, record)
    source = _decoder_source(bundle, record)
    manifest = load_manifest(data).with_mask_classes(parts.network.mask_classes)
    _check_options(data, out, folds, everything)
    plan = _plan(manifest, {*hashes["train"], *hashes["val"]}, record, everything=everything)
    if plan.related and Kind(source.kind) == Kind.MULTITASK:
        raise UserError(
            f"bundle `{bundle}` was trained for labels and masks at once: its encoder learned from masks of the same"
            " groups, so no decoder on it is out of fold; use a bundle of a decoder study on a classifier."
        )
    if plan.related and folds is None:
        raise UsageError(_needs_folds(plan, everything))
    masks = MaskFolder(
        manifest,
        [*plan.unrelated, *plan.related],
        out=out,
        classes=classes_to_write(parts.network.mask_classes, manifest),
    )
    if plan.related and folds is not None:
        plan = replace(plan, fold_of=assign_folds(plan.training, folds, seed=record.config.train.seed))
    masks.copy_data()
    writer = _MaskWriter(parts, source, plan, masks, device or torch.device("cpu"))
    rows = writer.write(None, plan.unrelated)
    for fold in sorted(set(plan.fold_of.values())):
        rows += writer.write(fold, [sample for sample in plan.related if plan.fold_of[sample.group] == fold])
    masks.write_manifest()
    _report(rows, writer.unreadable)
    return rows


@dataclass(frozen=True)
class _Plan:
    """The images to segment and the decoder for each.

    Groups that share an image file are merged. ``training``: images with drawn masks that the
    bundle's decoder was trained or selected on. ``related``: images of their groups, for the
    decoder of the group's fold. ``unrelated``: all others, for the bundle's decoder.
    """

    training: list[Sample]
    related: list[Sample]
    unrelated: list[Sample]
    fold_of: dict[str, int] = field(default_factory=dict)


def _plan(manifest: Manifest, used: set[str], record: BundleRecord, *, everything: bool) -> _Plan:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        digest_of = list(pool.map(lambda sample: file_hash(sample.image), manifest.samples))
    seen = {sample.image for sample, digest in zip(manifest.samples, digest_of, strict=True) if digest in used}
    predicted = read_predicted_masks(manifest.root)
    samples = merge_groups(manifest.samples, digest_of)
    drawn = {
        sample.image for sample in samples if sample.mask and relative_key(sample.mask, manifest.root) not in predicted
    }
    training = [sample for sample in samples if sample.image in drawn & seen]
    groups = {sample.group for sample in training}
    targets = [sample for sample in samples if everything or sample.mask is None]
    plan = _Plan(
        training=training,
        related=[sample for sample in targets if sample.group in groups],
        unrelated=[sample for sample in targets if sample.group not in groups],
    )
    uncertain = sum(sample.image in seen - drawn for sample in plan.unrelated)
    if uncertain and not _had_same_masks(manifest, predicted, record):
        log.warning(
            "the bundle was made with %d of the images without a mask, and the data have changed since: if those images"
            " had masks then, the decoder was trained on them",
            uncertain,
        )
    return plan


def _had_same_masks(manifest: Manifest, predicted: dict[str, PredictedMask], record: BundleRecord) -> bool:
    """Tell whether, without predicted masks, these data are the bundle's training data.

    If so, an image without a drawn mask had none then either.
    """
    samples = (
        replace(sample, mask=None) if sample.mask and relative_key(sample.mask, manifest.root) in predicted else sample
        for sample in manifest.samples
    )
    split = record.split
    try:
        manifest_then = assign_splits(
            replace(manifest, samples=tuple(samples)), seed=split.seed, val=split.val, test=split.test
        )
    except DataError:
        return False
    return fingerprint(digests(manifest_then)) == record.data_fingerprint


class _MaskWriter:
    """Predicts and writes masks and collects the images that could not be decoded."""

    def __init__(
        self, parts: LoadedBundle, source: Source, plan: _Plan, masks: MaskFolder, device: torch.device
    ) -> None:
        self._parts = parts
        self._source = source
        self._plan = plan
        self._masks = masks
        self._device = device
        self.unreadable: list[str] = []

    def write(self, fold: int | None, samples: Sequence[Sample]) -> list[dict[str, Any]]:
        """Write the missing masks by the decoder of ``fold`` (None: the bundle's).

        Returns a row for each mask.
        """
        missing = self._masks.missing(samples)
        if not missing:
            return []
        network = self._parts.network if fold is None else self._trained(fold, len(missing))
        record = self._parts.record
        predictor = Predictor(network, record.classes, record.mask_view, device=self._device)
        rows: list[dict[str, Any]] = []
        for files in self._predict(predictor, missing, fold):
            self._masks.write(files, bundle=record.record_sha256)
            rows += [self._row(file) for file in files]
            log.info("%d of %d masks", len(rows), len(missing))
        return rows

    def _trained(self, fold: int, images: int) -> MultitaskNetwork:
        fold_of = self._plan.fold_of
        others = [sample for sample in self._plan.training if fold_of[sample.group] != fold]
        name = f"fold {fold} of {max(fold_of.values())}"
        log.info("%s: training a decoder on %d images for %d others", name, len(others), images)
        return train_decoder(self._parts, self._source, others, name=name, device=self._device)

    def _predict(self, predictor: Predictor, samples: Sequence[Sample], fold: int | None) -> Iterator[list[MaskFile]]:
        for start in range(0, len(samples), BATCH_SIZE):
            batch = samples[start : start + BATCH_SIZE]
            predictions = predictor.predict_images([sample.image for sample in batch], batch_size=BATCH_SIZE)
            files = []
            for sample, prediction in zip(batch, predictions, strict=True):
                if isinstance(prediction, DataError):
                    self.unreadable.append(str(prediction))
                else:
                    assert prediction.mask is not None
                    files.append(MaskFile(sample, prediction.mask, fold))
            yield files

    def _row(self, file: MaskFile) -> dict[str, Any]:
        return {
            "image": str(file.sample.image),
            "mask": str(self._masks.root / self._masks.names[file.sample.image]),
            "share": round(float((file.mask > 0).mean()), 4),
            "fold": file.fold,
        }


def _decoder_source(bundle: Path, record: BundleRecord) -> Source:
    for source in record.sources:
        if "segment" in Kind(source.kind).facts.answers:
            return source
    raise UserError(
        f"bundle `{bundle}` has no trained decoder; export one with a decoder study (`venation bundle export"
        " DECODER_STUDY -o PATH`)."
    )


def _check_options(data: Path, out: Path | None, folds: int | None, everything: bool) -> None:
    if folds is not None and folds not in FOLDS:
        raise UsageError(f"--folds {folds}: give a number from {FOLDS[0]} to {FOLDS[-1]}.")
    if everything and out is None:
        raise UsageError(
            "--all predicts masks that exist already, and these are never replaced; give a folder for a copy with -o."
        )
    if out is None and (data.is_file() or (data / CSV_NAME).is_file()):
        raise UsageError(f"`{data}` is listed by a CSV, which is never changed; give a folder for a copy with -o.")


def _needs_folds(plan: _Plan, everything: bool) -> str:
    images = "images" if everything else "images without a mask"
    return (
        f"{'--all predicts' if everything else 'there are'} {len(plan.related)} {images} in groups that the decoder was"
        " trained on; give --folds (--folds 5 trains five decoders), so that no decoder segments its training images."
    )


def _report(rows: list[dict[str, Any]], unreadable: Sequence[str]) -> None:
    """Log the outcome; raise PartlyRead for images that could not be decoded."""
    if not rows and not unreadable:
        log.info("every image has a mask: nothing was written")
    if empty := sum(row["share"] == 0 for row in rows):
        log.warning("%d of %d masks are empty: such an image trains the label only", empty, len(rows))
    if unreadable:
        more = "; ..." if len(unreadable) > _SHOWN else ""
        listed = "; ".join(unreadable[:_SHOWN])
        images = len(rows) + len(unreadable)
        raise PartlyRead(f"{len(unreadable)} of {images} images were not segmented: {listed}{more}", rows)
