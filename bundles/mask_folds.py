"""Train one decoder per fold on the other folds, so that no decoder segments its training images.

MGANet section 4.3: masks for mask-guided training come from a segmentation model, out of fold.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..data.dataset import LeafDataset
from ..data.loader import Loader, make_loader
from ..data.manifest import Manifest, Sample
from ..data.splits import assign_splits
from ..errors import DataError, UserError
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..trials.checkpoint import base_weights, load_weights
from ..trials.errors import TrialFailed
from ..trials.train import fit
from .load_network import LoadedBundle
from .record import Source

log = logging.getLogger(__name__)

# Two groups to train on, one to choose the epoch.
_MIN_GROUPS = 3


def merge_groups(samples: Sequence[Sample], digests: Sequence[str]) -> list[Sample]:
    """Return the samples with groups merged if they share an image file with the same bytes."""
    parent = {sample.group: sample.group for sample in samples}

    def root(group: str) -> str:
        while parent[group] != group:
            group = parent[group]
        return group

    first: dict[str, str] = {}
    for sample, digest in zip(samples, digests, strict=True):
        low, high = sorted((root(sample.group), root(first.setdefault(digest, sample.group))))
        parent[high] = low
    return [replace(sample, group=root(sample.group)) for sample in samples]


def assign_folds(samples: Sequence[Sample], folds: int, *, seed: int) -> dict[str, int]:
    """Return the fold, from 1 to ``folds``, of every group.

    Groups are shuffled by the seed within their class and assigned in turn. Raises DataError if the
    other folds have too few groups to train a decoder.
    """
    label = {sample.group: sample.label for sample in reversed(samples)}
    order = sorted(label, key=lambda group: (label[group], _hash(seed, group)))
    largest = -(-len(order) // folds)
    if len(order) < folds or len(order) - largest < _MIN_GROUPS:
        raise DataError(
            f"the decoder was trained on {len(order)} groups of images with masks: too few for {folds} folds, because a"
            f" decoder needs {_MIN_GROUPS} groups for training; add images with masks."
        )
    return {group: index % folds + 1 for index, group in enumerate(order)}


def train_decoder(
    parts: LoadedBundle, source: Source, samples: Sequence[Sample], *, name: str, device: torch.device
) -> MultitaskNetwork:
    """Return the bundle's network with a new decoder trained on ``samples`` by its recipe.

    Encoder, gate and head are the bundle's and frozen. ``source`` is its decoder trial, whose
    objective chooses the epoch on whole groups held out of ``samples``. Raises UserError if the
    training fails.
    """
    record = parts.record
    config = record.config
    # The initial weights of a decoder must not depend on the folds before it.
    torch.manual_seed(config.train.seed)
    network = build_network(config.with_random_encoder().network(len(record.classes)))
    load_weights(network, network.state_dict() | base_weights(parts.network), source="the bundle")
    train, val = (_loader(parts, part, train=split == "train") for split, part in _split(parts, samples).items())
    try:
        for result in fit(network, train, val, config.train, task="segment", device=device, monitor=source.objective):
            progress, value = f"epoch {result.epoch + 1}/{config.train.epochs}", result.metrics[source.objective]
            log.info("%s: %s %s %.4f (%.1f s)", name, progress, source.objective, value, result.seconds)
    except TrialFailed as error:
        raise UserError(f"the decoder of {name} could not be trained ({error}); export another bundle.") from None
    return network.eval()


def _split(parts: LoadedBundle, samples: Sequence[Sample]) -> dict[str, tuple[Sample, ...]]:
    # A decoder needs no labels, and the data may have classes that the bundle does not have: use
    # one label for all.
    label = parts.record.classes[0]
    plain = tuple(replace(sample, label=label, split=None) for sample in samples)
    split = parts.record.split
    manifest = assign_splits(Manifest(Path(), plain, (label,)), seed=split.seed, val=split.val, test=0.0)
    return {part: manifest.split(part) for part in ("train", "val")}


def _loader(parts: LoadedBundle, samples: Sequence[Sample], *, train: bool) -> Loader:
    config = parts.record.config
    # A background blanked by the mask would reveal the mask to the decoder.
    view = parts.record.mask_view.model_copy(update={"blank": 0.0})
    dataset = LeafDataset(samples, parts.record.classes, view, train=train)
    return make_loader(dataset, batch_size=config.train.batch_size, train=train, seed=config.train.seed)


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode(errors="surrogateescape")).digest()
