"""The first bundle of a data set: a linear probe, cross-validated, without a study."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from ..data.channels import find_channels, note_unread_channel
from ..data.data_config import DataConfig, SplitConfig
from ..data.dataset import LeafDataset
from ..data.fingerprint import digests, fingerprint
from ..data.left_out import left_out_of
from ..data.manifest import Manifest, evenly_spaced, load_manifest
from ..errors import DataError, UsageError, UserError
from ..models.build import build_network
from ..models.encoder import level_sizes
from ..models.memory_format import CPU, place
from ..models.network import MultitaskNetwork
from ..models.network_config import EncoderConfig
from ..trials.checkpoint import write_weights
from ..trials.evaluate import Score, score_probabilities
from ..trials.features import Features, pool_features
from ..trials.metrics import Ints, LabelOutcomes, logloss_per_image
from ..trials.probe import fit_probe
from ..trials.probe_config import DEFAULT_ENCODER, probe_config
from ..trials.probe_folds import ALWAYS_TRAINS, held_out_probabilities, stratified_folds
from ..trials.provenance import collect_provenance
from ..trials.trial_config import TrialConfig
from ..trials.unknown import choose_threshold
from .bundle import write_bundle
from .card import model_card
from .confused import most_confused, weakest_classes
from .load_network import LoadedBundle
from .onnx_model import write_onnx
from .parity import verify_new
from .record import CARD, FOLDS, ONNX, WEIGHTS, BundleRecord, CrossValidated, Interval
from .samples import write_samples
from .scoring import write_image_hashes
from .try_report import TryReport, fold_notes

log = logging.getLogger(__name__)

NUM_SAMPLES = 4

# Called with a stage, the number of its steps that are done, and their number.
Progress = Callable[[str, int, int], None]


def try_data(
    data: Path,
    out: Path,
    *,
    encoder: str = DEFAULT_ENCODER,
    size: int = 224,
    folds: int = 5,
    seed: int = 0,
    device: torch.device,
    progress: Progress = lambda stage, done, total: None,
) -> TryReport:
    """Fit a linear probe on the images of ``data`` and write it to ``out`` as a bundle.

    The probe is logistic regression on the pooled features of a frozen, pretrained ``encoder``.
    Stratified cross-validation, which keeps groups whole, scores it; the bundle's probe is fitted
    on all images. A test split that the data name themselves stays sealed. Raises UserError if
    ``out`` exists or there are no weights, UsageError for an unknown encoder, DataError for data
    that cannot be read or cross-validated.
    """
    start = time.monotonic()
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    found = load_manifest(data, for_training=True)
    if remark := left_out_of(found):
        log.warning("%s: %s", data, remark)
    manifest = _for_training(found)
    samples = manifest.split("train")
    label_N = np.array([manifest.label_index(sample) for sample in samples])
    fold_N = stratified_folds(label_N, [sample.group for sample in samples], folds=folds, seed=seed)
    config = _config(encoder, size, find_channels(manifest))
    unread = note_unread_channel(manifest, config.data.channels)
    network = build_network(config.network(len(manifest.classes)))
    features = _features(network, manifest, config, device, progress, blank=False)
    progress("cross-validating", 0, 1)
    labels, scores = _score(features, fold_N, features, seed=seed)
    if all(sample.mask is not None for sample in samples):
        blanked = _features(network, manifest, config, device, progress, blank=True)
        scores["accuracy_blanked"] = _score(features, fold_N, blanked, seed=seed)[1]["accuracy"]
    fit_probe(features, num_classes=len(manifest.classes)).copy_to(network)
    scored = CrossValidated(folds=int(fold_N.max()) + 1, seed=seed, images=len(labels.label_I))
    threshold = choose_threshold(labels.label_I, labels.predicted_I, logloss_per_image(labels))
    record = _record(manifest, config, scores, scored, threshold, device)
    progress("writing the bundle", 0, 1)
    _write(out, record, network, manifest)
    progress("writing the bundle", 1, 1)
    return TryReport(
        bundle=out,
        data=data,
        encoder=encoder,
        size=config.data.size,
        images=len(samples),
        classes=len(manifest.classes),
        folds=scored.folds,
        scored=scored.images,
        scores=scores,
        confused=most_confused(labels, manifest.classes),
        weakest=weakest_classes(labels, manifest.classes),
        notes=[*([unread] if unread else []), *fold_notes(manifest, label_N, fold_N, asked=folds)],
        seconds=round(time.monotonic() - start, 1),
    )


def _config(encoder: str, size: int, channels: int) -> TrialConfig:
    """Return the probe's config; UsageError for an encoder or a size that does not exist."""
    try:
        view = DataConfig(size=size, channels=channels)
    except ValidationError as error:
        raise UsageError(f"--size {size}: {error.errors(include_input=False)[0]['msg']}") from None
    level_sizes(EncoderConfig(name=encoder), view.size_HW)
    return probe_config(encoder, view)


def _for_training(manifest: Manifest) -> Manifest:
    """Return the data with every image in the training split, except those of a test split.

    Raises DataError for a class whose images are all in the test split.
    """
    samples = tuple(sample if sample.split == "test" else replace(sample, split="train") for sample in manifest.samples)
    trained = {sample.label for sample in samples if sample.split == "train"}
    if absent := [name for name in manifest.classes if name not in trained]:
        raise DataError(f"class {absent[0]!r} has images in the test split only: move some of them to train")
    return replace(manifest, samples=samples)


def _features(
    network: MultitaskNetwork,
    manifest: Manifest,
    config: TrialConfig,
    device: torch.device,
    progress: Progress,
    *,
    blank: bool,
) -> Features:
    samples = manifest.split("train")
    dataset = LeafDataset(samples, manifest.classes, config.data, train=False, blank=blank)
    stage = "reading images with blanked background" if blank else "reading images"
    progress(stage, 0, len(samples))
    return pool_features(network, dataset, device, lambda done: progress(stage, done, len(samples)))


def _score(
    features: Features, fold_N: Ints, answered: Features, *, seed: int
) -> tuple[LabelOutcomes, dict[str, Score]]:
    """Return outcomes and scores on ``answered`` of probes that were fitted without each fold."""
    classes = features.probabilities.shape[1]
    probability_NK = held_out_probabilities(features, fold_N, num_classes=classes, changed=answered)
    held_out = fold_N != ALWAYS_TRAINS
    given: tuple[NDArray[np.float32], Ints] = (probability_NK[held_out], features.y[held_out])
    return LabelOutcomes.of(*given), score_probabilities(*given, seed=seed)


def _record(
    manifest: Manifest,
    config: TrialConfig,
    scores: dict[str, Score],
    scored: CrossValidated,
    threshold: float | None,
    device: torch.device,
) -> BundleRecord:
    return BundleRecord(
        sources=(),
        config=config,
        classes=manifest.classes,
        metrics={FOLDS: {name: Interval(**asdict(score)) for name, score in scores.items()}},
        images={part: len(manifest.split(part)) for part in ("train", "val", "test")},
        data_fingerprint=fingerprint(digests(manifest)),
        split=SplitConfig(seed=scored.seed),
        cross_validation=scored,
        min_probability=threshold,
        provenance=collect_provenance(str(device)).model_dump(mode="json"),
    )


def _write(out: Path, record: BundleRecord, network: MultitaskNetwork, manifest: Manifest) -> None:
    parts = LoadedBundle(record, place(network, CPU).eval(), None)
    images = [sample.image for sample in evenly_spaced(manifest.split("train"), NUM_SAMPLES)]

    def fill(folder: Path) -> None:
        write_weights(network.state_dict(), folder / WEIGHTS)
        write_onnx(network, record.config, folder / ONNX)
        write_samples(parts, images, folder)
        write_image_hashes(manifest, folder)
        (folder / CARD).write_text(model_card(record))

    write_bundle(out, record, fill, verify_new)
