"""The folds of a study's training and validation images; the sealed test split is in none."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..data.manifest import Manifest
from ..errors import DataError, UsageError
from ..trials.kinds import Kind
from ..trials.metrics import Ints
from ..trials.probe_folds import stratified_folds


def fold_manifests(manifest: Manifest, *, folds: int, seed: int) -> tuple[Manifest, ...]:
    """Return the manifest of each fold: its images validate, the others of train and val train.

    Stratified, and groups stay whole, see ``stratified_folds``. There may be fewer than ``folds``;
    none for 0. The test split stays as it is.
    """
    return tuple(_manifests(manifest, _folds(manifest, folds=folds, seed=seed))) if folds else ()


def check_folds(kind: Kind, manifest: Manifest, *, folds: int, seed: int) -> None:
    """Raise UsageError if the images cannot be divided into ``folds`` folds.

    Raises DataError if a decoder would have a fold without masks to learn from or to score.
    """
    found = fold_manifests(manifest, folds=folds, seed=seed)
    if len(found) < folds:
        raise UsageError(
            f"--folds {folds} is more than the groups of any class in the train and val splits: give {len(found)} or"
            " fewer."
        )
    if "segment" in kind.facts.answers:
        for number, fold in enumerate(found, 1):
            for split in ("train", "val"):
                if all(sample.mask is None for sample in fold.split(split)):
                    raise DataError(f"fold {number} has no masks to {_USE[split]}: add masks, or give fewer folds")


_USE = {"train": "learn from", "val": "score"}


def _folds(manifest: Manifest, *, folds: int, seed: int) -> Ints:
    pool = [sample for sample in manifest.samples if sample.split != "test"]
    place = {name: index for index, name in enumerate(manifest.classes)}
    label_N = np.array([place[sample.label] for sample in pool])
    return stratified_folds(label_N, [sample.group for sample in pool], folds=folds, seed=seed % 2**32)


def _manifests(manifest: Manifest, fold_N: Ints) -> Iterator[Manifest]:
    for fold in range(int(fold_N.max()) + 1):
        numbers = iter(fold_N)
        samples = (
            sample if sample.split == "test" else replace(sample, split="val" if next(numbers) == fold else "train")
            for sample in manifest.samples
        )
        yield replace(manifest, samples=tuple(samples))
