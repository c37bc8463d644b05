"""Masks for images that have none, by a bundle's decoder, out of fold: no decoder learned from what it segments."""

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
from ..data.scan import CSV_NAME, relative_key
from ..data.splits import assign_splits
from ..errors import DataError, UsageError, UserError
from ..models.network import MultitaskNetwork
from ..trials.kinds import Kind
from ..trials.predict import Predictor
from .bundle import BundleRecord, Source, intact
from .mask_folder import MaskFile, MaskFolder, PredictedMask, read_predicted
from .mask_folds import deal_folds, tie_groups, train_decoder
from .predict import LoadedBundle, PartlyRead, load_parts
from .scoring import read_known

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
    """Write a mask for every image of ``data`` without one and return a row for each that was written.

    Beside the images, as ``masks/<class>/<stem>.png`` (0/255, the upright image's size), or with ``out`` into a copy
    of the data with a ``manifest.csv``; ``everything`` (only with ``out``) predicts in place of the masks that there
    are, too. No mask is replaced, and a second call goes on where the first ended.

    The bundle's decoder predicts what it never learned from. Images of the groups that it did learn from need
    ``folds``: for each fold a decoder is trained on the masks of the others. Raises UsageError if they are not given,
    or for data listed by a CSV without ``out``; UserError for a bundle without a trained decoder; DataError for data
    that cannot be used, and at the end, as PartlyRead, if some images could not be decoded.
    """
    with intact(bundle) as (folder, record):
        parts, known = load_parts(folder, record), read_known(folder, record)
    source = _decoder_source(bundle, record)
    manifest = load_manifest(data)
    _check_options(data, out, folds, everything)
    plan = _plan(manifest, {*known["train"], *known["val"]}, record, everything=everything)
    if plan.held and folds is None:
        raise UsageError(_needs_folds(plan, everything))
    masks = MaskFolder(manifest, [*plan.free, *plan.held], out=out)
    if plan.held and folds is not None:
        plan = replace(plan, fold_of=deal_folds(plan.learned, folds, seed=record.config.train.seed))
    masks.copy_data()
    run = _Run(parts, source, plan, masks, device or torch.device("cpu"))
    rows = run.write(None, plan.free)
    for fold in sorted(set(plan.fold_of.values())):
        rows += run.write(fold, [sample for sample in plan.held if plan.fold_of[sample.group] == fold])
    masks.write_manifest()
    _remark(rows, run.unreadable)
    return rows


@dataclass(frozen=True)
class _Plan:
    """What is to be segmented and by whom; samples' groups are tied where they share a picture.

    ``learned``: the images with drawn masks that the bundle's decoder was trained or chosen on. ``held``: images of
    their groups, for the decoder of the group's fold, which never saw it; ``free``: all others, for the bundle's own.
    """

    learned: list[Sample]
    held: list[Sample]
    free: list[Sample]
    fold_of: dict[str, int] = field(default_factory=dict)


def _plan(manifest: Manifest, used: set[str], record: BundleRecord, *, everything: bool) -> _Plan:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        hashes = list(pool.map(lambda sample: file_hash(sample.image), manifest.samples))
    seen = {sample.image for sample, digest in zip(manifest.samples, hashes, strict=True) if digest in used}
    predicted = read_predicted(manifest.root)
    samples = tie_groups(manifest.samples, hashes)
    drawn = {
        sample.image for sample in samples if sample.mask and relative_key(sample.mask, manifest.root) not in predicted
    }
    learned = [sample for sample in samples if sample.image in drawn & seen]
    groups = {sample.group for sample in learned}
    wanted = [sample for sample in samples if everything or sample.mask is None]
    plan = _Plan(
        learned=learned,
        held=[sample for sample in wanted if sample.group in groups],
        free=[sample for sample in wanted if sample.group not in groups],
    )
    unsure = sum(sample.image in seen - drawn for sample in plan.free)
    if unsure and not _masked_as_then(manifest, predicted, record):
        log.warning(
            "the bundle was made with %d of the images without a mask, and these data are not the same as then: if they"
            " had masks then, the decoder learned from them",
            unsure,
        )
    return plan


def _masked_as_then(manifest: Manifest, predicted: dict[str, PredictedMask], record: BundleRecord) -> bool:
    """Whether these are, but for predicted masks, the bundle's training data: then what is bare here was so there."""
    samples = (
        replace(sample, mask=None) if sample.mask and relative_key(sample.mask, manifest.root) in predicted else sample
        for sample in manifest.samples
    )
    split = record.split
    try:
        then = assign_splits(replace(manifest, samples=tuple(samples)), seed=split.seed, val=split.val, test=split.test)
    except DataError:
        return False
    return fingerprint(digests(then)) == record.data_fingerprint


class _Run:
    """Predicts and writes, part by part, and gathers what could not be decoded."""

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
        """Rows of the masks written now: by the decoder of ``fold``, None for the bundle's own."""
        todo = self._masks.missing(samples)
        if not todo:
            return []
        network = self._parts.network if fold is None else self._trained(fold, len(todo))
        record = self._parts.record
        predictor = Predictor(network, record.classes, record.config.data, device=self._device)
        rows: list[dict[str, Any]] = []
        for files in self._predict(predictor, todo, fold):
            self._masks.write(files, bundle=record.record_sha256)
            rows += [self._row(file) for file in files]
            log.info("%d of %d masks", len(rows), len(todo))
        return rows

    def _trained(self, fold: int, images: int) -> MultitaskNetwork:
        fold_of = self._plan.fold_of
        others = [sample for sample in self._plan.learned if fold_of[sample.group] != fold]
        name = f"fold {fold} of {max(fold_of.values())}"
        log.info("%s: training a decoder on %d images for %d others", name, len(others), images)
        return train_decoder(self._parts, self._source, others, name=name, device=self._device)

    def _predict(self, predictor: Predictor, samples: Sequence[Sample], fold: int | None) -> Iterator[list[MaskFile]]:
        for start in range(0, len(samples), BATCH_SIZE):
            batch = samples[start : start + BATCH_SIZE]
            answers = predictor.predict_images([sample.image for sample in batch], batch_size=BATCH_SIZE)
            files = []
            for sample, answer in zip(batch, answers, strict=True):
                if isinstance(answer, DataError):
                    self.unreadable.append(str(answer))
                else:
                    assert answer.mask is not None
                    files.append(MaskFile(sample, answer.mask, fold))
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
        if Kind(source.kind).facts.task == "segment":
            return source
    raise UserError(
        f"bundle `{bundle}` has no trained decoder; export one with a decoder study (`venation bundle export"
        " DECODER_STUDY -o PATH`)."
    )


def _check_options(data: Path, out: Path | None, folds: int | None, everything: bool) -> None:
    if folds is not None and folds not in FOLDS:
        raise UsageError(f"--folds {folds}: give a number from {FOLDS[0]} to {FOLDS[-1]}.")
    if everything and out is None:
        raise UsageError("--all predicts in place of masks that are there, which stay; give a folder for a copy by -o.")
    if out is None and (data.is_file() or (data / CSV_NAME).is_file()):
        raise UsageError(f"`{data}` is listed by a CSV, which is never changed; give a folder for a copy with -o.")


def _needs_folds(plan: _Plan, everything: bool) -> str:
    why = "--all predicts" if everything else "Of the images without a mask"
    return (
        f"{why} {len(plan.held)} that the decoder learned from, by themselves or by others of their group; give --folds"
        " (--folds 5 trains five decoders), so that none is segmented by a decoder that knows it."
    )


def _remark(rows: list[dict[str, Any]], unreadable: Sequence[str]) -> None:
    """Say what people should know; raise PartlyRead for images that could not be decoded."""
    if not rows and not unreadable:
        log.info("every image has its mask: nothing was written")
    if empty := sum(row["share"] == 0 for row in rows):
        log.warning("%d of %d masks are empty: such an image teaches its label only", empty, len(rows))
    if unreadable:
        more = "; ..." if len(unreadable) > _SHOWN else ""
        listed = "; ".join(unreadable[:_SHOWN])
        images = len(rows) + len(unreadable)
        raise PartlyRead(f"{len(unreadable)} of {images} images were not segmented: {listed}{more}", rows)
