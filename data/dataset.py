"""Items as batches of tensors: decoded once, changed at random by (seed, epoch, index) and by nothing else.

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
from .prefetch import decoded_ahead
from .transforms import Stage, blank_background, eval_transform, fit_stage, train_transform, wrap

_GIB = 1024**3
_CACHE_GIB = "2"


class Example(NamedTuple):
    """One sample for the network."""

    image_CHW: Tensor
    label: int
    mask_1HW: Tensor
    has_mask: bool


class Batch(NamedTuple):
    """Items for the network: image float32, normalised; mask float32 of {0, 1}, zeros where a sample has none."""

    image_BCHW: Tensor
    label_B: Tensor
    mask_B1HW: Tensor
    has_mask_B: Tensor


class LeafDataset(Dataset[Example]):
    """Items as examples; random changes, if ``train``, come from torch's global generator.

    The decoded picture is kept (uint8; resized, for ``squash`` and ``pad``) until ``cache_bytes`` are full, by default
    ``default_cache_bytes``. The rest is decoded anew each time: when every epoch reads everything, replacing the oldest
    would never hit.

    ``blank`` sets every pixel outside the mask to the mean colour, to show what a network reads in the background;
    DataError if a sample has no mask then, or a label that is not in ``classes``. A file that cannot be decoded, or a
    mask of another size, raises DataError naming it when it is first read.
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
        self._kept: dict[int, Stage] = {}
        self.cached_bytes = 0
        self.cache_bytes = default_cache_bytes() if cache_bytes is None else cache_bytes
        if blank:
            _require_masks(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Example:
        """The example at ``index``; IndexError beyond the last, so that a plain loop ends."""
        if not 0 <= index < len(self.samples):
            raise IndexError(f"index {index} of {len(self.samples)} samples")
        return self.example(index, self._stage(index))

    def example(self, index: int, stage: Stage) -> Example:
        """The sample's stage, see ``stages``, as an example."""
        has_mask = self.samples[index].mask is not None
        if self._train and has_mask and self.config.blank and float(torch.rand(())) < self.config.blank:
            stage = blank_background(stage, self.config)
        image_CHW, mask_1HW = self._transform(*wrap(stage))
        return Example(image_CHW.as_subclass(Tensor), self.labels[index], mask_1HW.as_subclass(Tensor), has_mask)

    def stages(self, batches: Sequence[Sequence[int]]) -> Iterator[list[Stage]]:
        """The decoded pictures of batches of indices, in order; the next batch is decoded while one is in use."""
        ahead = decoded_ahead(batches, kept=self._kept.get, decode=self._decode)
        for indices, stages in zip(batches, ahead, strict=True):
            for index, stage in zip(indices, stages, strict=True):
                self._keep(index, stage)
            yield stages

    def _stage(self, index: int) -> Stage:
        stage = self._kept.get(index) or self._decode(index)
        self._keep(index, stage)
        return stage

    def _keep(self, index: int, stage: Stage) -> None:
        size = stage.image_CHW.numel() + stage.mask_1HW.numel()
        if index not in self._kept and self.cached_bytes + size <= self.cache_bytes:
            self._kept[index] = stage
            self.cached_bytes += size

    def _decode(self, index: int) -> Stage:
        sample = self.samples[index]
        image = read_image(sample.image)
        mask = None if sample.mask is None else read_mask(sample.mask, image.size)
        stage = fit_stage(image, mask, self.config, train=self._train)
        return blank_background(stage, self.config) if self._blank else stage


class Loader:
    """Batches of a dataset in a fixed order, or shuffled if ``train``; no worker processes.

    Order and random changes are a pure function of (seed, epoch, index): an epoch that is resumed or run elsewhere
    is the same bit by bit, and torch's own generators are left as they were. The last batch may be short; a single
    left-over example joins the batch before it in training, because batch normalisation cannot learn from one.
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
        """Choose the epoch that the next iteration is."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch
        order = self._order(epoch)
        batches = [order[start:stop] for start, stop in pairwise(self._bounds())]
        for indices, stages in zip(batches, self.dataset.stages(batches), strict=True):
            yield self._batch(indices, stages, epoch)

    def _bounds(self) -> list[int]:
        """Where batches begin, and the end."""
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

    def _batch(self, indices: list[int], stages: list[Stage], epoch: int) -> Batch:
        # Only the CPU generator: torch.manual_seed would also reset the accelerator's, and with it every dropout.
        state = torch.random.get_rng_state()
        try:
            examples = [self._example(*pair, epoch) for pair in zip(indices, stages, strict=True)]
        finally:
            torch.random.set_rng_state(state)
        images, labels, masks, has_mask = zip(*examples, strict=True)
        return Batch(torch.stack(images), torch.tensor(labels), torch.stack(masks), torch.tensor(has_mask))

    def _example(self, index: int, stage: Stage, epoch: int) -> Example:
        torch.default_generator.manual_seed(_derive(self._seed, epoch, str(index)))
        return self.dataset.example(index, stage)


def make_loader(dataset: LeafDataset, *, batch_size: int, train: bool, seed: int) -> Loader:
    """An iterable of Batch over the dataset; see Loader."""
    return Loader(dataset, batch_size=batch_size, train=train, seed=seed)


def default_cache_bytes() -> int:
    """Bytes of decoded pictures that one part of a data set keeps: VENATION_CACHE_GIB, or 2 GiB.

    UsageError if that is not a number of GiB.
    """
    given = os.environ.get("VENATION_CACHE_GIB") or _CACHE_GIB
    try:
        size = float(given)
    except ValueError:
        size = math.nan
    if not 0 <= size < math.inf:
        raise UsageError(f"VENATION_CACHE_GIB={given} is no number of GiB: give one from 0 on, such as 0.5")
    return int(size * _GIB)


def _derive(seed: int, epoch: int, name: str) -> int:
    """A seed of 63 bits that shares nothing with its neighbours'."""
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
