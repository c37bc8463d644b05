"""Loaders: the batches of a dataset, shuffled and augmented reproducibly.

Order and random changes depend on (seed, epoch, index) alone.
"""

import hashlib
from collections.abc import Iterator
from itertools import chain, pairwise

import torch

from .balance import balanced_order, draw_names
from .batch import Batch, Example
from .dataset import LeafDataset
from .progress import Step, notify
from .shares import share_of
from .transforms import FittedPair


class Loader:
    """An iterable of the batches of a dataset, shuffled if ``train``, without worker processes.

    Order and random changes are a pure function of (seed, epoch, index): an epoch that is resumed,
    or run on another machine, is bit-identical, and torch's own generators keep their state. The
    last batch may be short. In training, a single left-over example joins the batch before it,
    because batch normalisation cannot train on one example. Whole images (``fit=whole`` and
    ``fit=patch`` in evaluation) come one after the other, with ``patch`` each in batches of its
    windows; ``len`` counts the images.

    With ``balanced``, training draws every class equally often, in an epoch of the same length.
    ``share`` (rank, world) yields the rank's share of every batch, with the same random changes.
    """

    def __init__(
        self, dataset: LeafDataset, *, batch_size: int, train: bool, seed: int, balanced: bool = False
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: at least 1 is needed")
        self.dataset = dataset
        self.batch_size = batch_size
        self.share = (0, 1)
        self._train = train
        self._seed = seed
        self._balanced = balanced
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._epoch
        order = self._order(epoch)
        batches = [share_of(range(*bounds), *self.share) for bounds in pairwise(self._bounds())]
        places = list(chain.from_iterable(batches))
        drawn = list(draw_names(order))

        def patch_generator(number: int) -> torch.Generator:
            return torch.Generator().manual_seed(_derive(self._seed, epoch, f"patch {drawn[places[number]]}"))

        indices = [[order[place] for place in batch] for batch in batches]
        fitted = self.dataset.fitted_batches(indices, patch_generator if self._train else None)
        done, stage = 0, "training" if self._train else "scoring images"
        for batch, chosen, pairs in zip(batches, indices, fitted, strict=True):
            notify(Step(stage, done, len(places)))
            if self.dataset.windows:
                yield from self.dataset.window_batches(chosen[0], pairs[0], self.batch_size)
            else:
                yield self._batch(chosen, pairs, [drawn[place] for place in batch], epoch)
            done += len(chosen)
        notify(Step(stage, done, len(places)))

    @property
    def sizes(self) -> list[int]:
        """The number of examples of each whole batch."""
        return [stop - start for start, stop in pairwise(self._bounds())]

    def _bounds(self) -> list[int]:
        """Return the first index of each batch, and the number of samples."""
        number = len(self.dataset)
        starts = list(range(0, number, 1 if self.dataset.one_at_a_time else self.batch_size))
        if self._train and self.batch_size > 1 and number > 1 and number % self.batch_size == 1:
            starts.pop()
        return [*starts, number]

    def _order(self, epoch: int) -> list[int]:
        if not self._train:
            return list(range(len(self.dataset)))
        generator = torch.Generator().manual_seed(_derive(self._seed, epoch, "order"))
        if self._balanced:
            return balanced_order(self.dataset.labels, generator)
        return torch.randperm(len(self.dataset), generator=generator).tolist()

    def _batch(self, indices: list[int], pairs: list[FittedPair], names: list[str], epoch: int) -> Batch:
        # Seed the CPU generator only: torch.manual_seed would also reset the accelerator's, which
        # dropout draws from.
        state = torch.random.get_rng_state()
        try:
            examples = [self._example(*each, epoch) for each in zip(indices, pairs, names, strict=True)]
        finally:
            torch.random.set_rng_state(state)
        images, labels, masks, has_mask = zip(*examples, strict=True)
        return Batch(torch.stack(images), torch.tensor(labels), torch.stack(masks), torch.tensor(has_mask))

    def _example(self, index: int, pair: FittedPair, name: str, epoch: int) -> Example:
        torch.default_generator.manual_seed(_derive(self._seed, epoch, name))
        return self.dataset.make_example(index, pair)


def make_loader(dataset: LeafDataset, *, batch_size: int, train: bool, seed: int, balanced: bool = False) -> Loader:
    """Return a Loader over the dataset."""
    return Loader(dataset, batch_size=batch_size, train=train, seed=seed, balanced=balanced)


def _derive(seed: int, epoch: int, name: str) -> int:
    """Return a 63-bit seed that is independent of those of other epochs and names."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{epoch}:{name}".encode()).digest()[:8]) >> 1
