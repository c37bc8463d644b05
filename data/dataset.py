"""Datasets and loaders: samples as batches of tensors, cached and augmented reproducibly.

Random changes depend on (seed, epoch, index) alone.

Shapes: B batch, C channels, H W the network's input.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import DataError, UsageError
from .data_config import DataConfig
from .images import read_image, read_mask
from .manifest import Sample
from .prefetch import decode_ahead
from .transforms import FittedPair, as_tv_tensors, blank_background, eval_transform, fit_pair, train_transform

_GIB = 1024**3
_CACHE_GIB = "2"


class Example(NamedTuple):
    """One sample as tensors."""

    image_CHW: Tensor
    label: int
    mask_1HW: Tensor
    has_mask: bool


class Batch(NamedTuple):
    """A batch: normalised float32 images; float32 masks of {0, 1}, zero for samples without one."""

    image_BCHW: Tensor
    label_B: Tensor
    mask_B1HW: Tensor
    has_mask_B: Tensor


class LeafDataset(Dataset[Example]):
    """A dataset of samples as tensors, augmented from torch's global generator if ``train``.

    Decoded images are cached (uint8; resized, for ``squash`` and ``pad``) until ``cache_bytes`` are
    full, by default ``default_cache_bytes``. Later images are decoded on every read. Entries are
    never evicted: every epoch reads every image, so evicting the oldest would never produce a hit.

    ``blank`` sets every pixel outside the mask to the mean colour, to measure how much a network
    relies on the background. Raises DataError if ``blank`` is set and a sample has no mask, and for
    a label that is not in ``classes``. A file that cannot be decoded, or a mask of another size
    than its image, raises DataError with its path on the first read.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Sequence[str],
        config: DataConfig,
        *,
        train: bool,
        blank: bool = False,
        cache_bytes: int | None = None,
    ) -> None:
        self.samples = tuple(samples)
        self.config = config
        self.labels = _label_indices(self.samples, classes)
        self._train = train
        self._blank = blank
        self._transform = train_transform(config) if train else eval_transform(config)
        self._cache: dict[int, FittedPair] = {}
        self.cached_bytes = 0
        self.cache_bytes = default_cache_bytes() if cache_bytes is None else cache_bytes
        if blank:
            _require_masks(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        """Return the example at ``index``; raise IndexError past the end, to end a plain loop."""
        if not 0 <= index < len(self.samples):
            raise IndexError(f"index {index} of {len(self.samples)} samples")
        return self.make_example(index, self._load(index))

    def make_example(self, index: int, pair: FittedPair) -> Example:
        """Make the example of a sample from its fitted pair, as ``fitted_batches`` yields it."""
        has_mask = self.samples[index].mask is not None
        if self._train and has_mask and self.config.blank and float(torch.rand(())) < self.config.blank:
            pair = blank_background(pair, self.config)
        image_CHW, mask_1HW = self._transform(*as_tv_tensors(pair))
        return Example(image_CHW.as_subclass(Tensor), self.labels[index], mask_1HW.as_subclass(Tensor), has_mask)

    def fitted_batches(self, batches: Sequence[Sequence[int]]) -> Iterator[list[FittedPair]]:
        """Yield the fitted pairs of each batch of indices, decoding the next batch meanwhile."""
        decoded = decode_ahead(batches, cached=self._cache.get, decode=self._decode)
        for indices, pairs in zip(batches, decoded, strict=True):
            for index, pair in zip(indices, pairs, strict=True):
                self._add_to_cache(index, pair)
            yield pairs

    def _load(self, index: int) -> FittedPair:
        pair = self._cache.get(index) or self._decode(index)
        self._add_to_cache(index, pair)
        return pair

    def _add_to_cache(self, index: int, pair: FittedPair) -> None:
        size = pair.image_CHW.numel() + pair.mask_1HW.numel()
        if index not in self._cache and self.cached_bytes + size <= self.cache_bytes:
            self._cache[index] = pair
            self.cached_bytes += size

    def _decode(self, index: int) -> FittedPair:
        sample = self.samples[index]
        image = read_image(sample.image, self.config.white)
        mask = None if sample.mask is None else read_mask(sample.mask, image.size)
        pair = fit_pair(image, mask, self.config, train=self._train)
        return blank_background(pair, self.config) if self._blank else pair


class Loader:
    """An iterable of the batches of a dataset, shuffled if ``train``, without worker processes.

    Order and random changes are a pure function of (seed, epoch, index): an epoch that is resumed,
    or run on another machine, is bit-identical, and torch's own generators keep their state. The
    last batch may be short. In training, a single left-over example joins the batch before it,
    because batch normalisation cannot train on one example.
    """

    def __init__(self, dataset: LeafDataset, *, batch_size: int, train: bool, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1 is needed")
        self.dataset = dataset
        self.batch_size = batch_size
        self._train = train
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch
        order = self._order(epoch)
        batches = [order[start:stop] for start, stop in pairwise(self._bounds())]
        for indices, pairs in zip(batches, self.dataset.fitted_batches(batches), strict=True):
            yield self._batch(indices, pairs, epoch)

    def _bounds(self) -> list[int]:
        """Return the first index of each batch, and the number of samples."""
        number = len(self.dataset)
        starts = list(range(0, number, self.batch_size))
        if self._train and self.batch_size > 1 and number > 1 and number % self.batch_size == 1:
            starts.pop()
        return [*starts, number]

    def _order(self, epoch: int) -> list[int]:
        if not self._train:
            return list(range(len(self.dataset)))
        generator = torch.Generator().manual_seed(_derive(self._seed, epoch, "order"))
        return torch.randperm(len(self.dataset), generator=generator).tolist()

    def _batch(self, indices: list[int], pairs: list[FittedPair], epoch: int) -> Batch:
        # Seed the CPU generator only: torch.manual_seed would also reset the accelerator's, which
        # dropout draws from.
        state = torch.random.get_rng_state()
        try:
            examples = [self._example(index, pair, epoch) for index, pair in zip(indices, pairs, strict=True)]
        finally:
            torch.random.set_rng_state(state)
        images, labels, masks, has_mask = zip(*examples, strict=True)
        return Batch(torch.stack(images), torch.tensor(labels), torch.stack(masks), torch.tensor(has_mask))

    def _example(self, index: int, pair: FittedPair, epoch: int) -> Example:
        torch.default_generator.manual_seed(_derive(self._seed, epoch, str(index)))
        return self.dataset.make_example(index, pair)


def make_loader(dataset: LeafDataset, *, batch_size: int, train: bool, seed: int) -> Loader:
    """Return a Loader over the dataset."""
    return Loader(dataset, batch_size=batch_size, train=train, seed=seed)


def default_cache_bytes() -> int:
    """Return the size of a dataset's cache of decoded images in bytes.

    The environment variable VENATION_CACHE_GIB sets it; the default is 2 GiB. Raises UsageError if
    the variable is not a number of GiB.
    """
    given = os.environ.get("VENATION_CACHE_GIB") or _CACHE_GIB
    try:
        size = float(given)
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise UsageError(f"VENATION_CACHE_GIB={given} is not a number of GiB: give one from 0 on, such as 0.5")
    return int(size * _GIB)


def _derive(seed: int, epoch: int, name: str) -> int:
    """Return a 63-bit seed that is independent of those of other epochs and names."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{epoch}:{name}".encode()).digest()[:8]) >> 1


def _label_indices(samples: Sequence[Sample], classes: Sequence[str]) -> list[int]:
    index = {label: position for position, label in enumerate(classes)}
    for sample in samples:
        if sample.label not in index:
            raise DataError(
                f"{sample.image} has label {sample.label!r}, not one of the {len(index)} classes: relabel it"
            )
    return [index[sample.label] for sample in samples]


def _require_masks(samples: Sequence[Sample]) -> None:
    bare = [sample.image for sample in samples if sample.mask is None]
    if bare:
        raise DataError(f"{bare[0]} and {len(bare) - 1} more have no mask to blank the background by: leave them out")
