"""Datasets and loaders: samples as batches of tensors, cached and augmented reproducibly.

Random changes depend on (seed, epoch, index) alone.

Shapes: B batch, C channels, H W the network's input.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .balance import balanced_order, draw_names
from .batch import Batch as Batch
from .batch import Example, WindowBatch, Windows
from .data_config import DataConfig
from .image_cache import ImageCache, default_cache_bytes
from .images import read_image, read_mask
from .manifest import Sample
from .patches import draw_patch, window_inputs
from .pixels import size_of
from .prefetch import decode_ahead
from .progress import Step, notify
from .sample_labels import label_indices, require_masks
from .shares import share_of
from .transforms import FittedPair, as_tv_tensors, blank_background, eval_transform, fit_pair, train_transform
from .windows import WindowGrid


class LeafDataset(Dataset[Example]):
    """A dataset of samples as tensors, augmented from torch's global generator if ``train``.

    Decoded images are cached (uint8; resized, for ``squash`` and ``pad``) until ``cache_bytes`` are
    full, by default ``default_cache_bytes``. Later images are decoded on every read.

    With ``fit=patch`` training has ``config.patches`` examples of every sample, each a patch of it;
    evaluation has whole images, which a Loader yields in windows. With ``fit=whole`` a Loader
    yields them one at a time.

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
        self.patches = train and config.fit == "patch"
        self.windows = not train and config.fit == "patch"
        self.one_at_a_time = not train and config.one_at_a_time
        self.images = tuple(samples)
        self.samples = self.images * (config.patches if self.patches else 1)
        self.config = config
        self.classes = tuple(classes)
        self.labels = label_indices(self.samples, classes)
        self._train = train
        self._blank = blank
        self._transform = train_transform(config) if train else eval_transform(config)
        self._cache = ImageCache(default_cache_bytes() if cache_bytes is None else cache_bytes)
        if blank:
            require_masks(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def without_changes(self) -> "LeafDataset":
        """Return the dataset of the same images as in evaluation, each once."""
        return LeafDataset(self.images, self.classes, self.config, train=False)

    def blanked(self) -> "LeafDataset | None":
        """Return the images that have a mask as in evaluation, their background blanked, if any."""
        masked = [sample for sample in self.images if sample.mask is not None]
        return LeafDataset(masked, self.classes, self.config, train=False, blank=True) if masked else None

    @property
    def cached_bytes(self) -> int:
        """The bytes of the cached images."""
        return self._cache.used

    @property
    def cache_bytes(self) -> int:
        """The most bytes that may be cached."""
        return self._cache.capacity

    def __getitem__(self, index: int) -> Example:
        """Return the example at ``index``; raise IndexError past the end, to end a plain loop."""
        if not 0 <= index < len(self.samples):
            raise IndexError(f"index {index} of {len(self.samples)} samples")
        return self.make_example(index, self._load(index, None))

    def make_example(self, index: int, pair: FittedPair) -> Example:
        """Make the example of a sample from its fitted pair, as ``fitted_batches`` yields it."""
        has_mask = self.samples[index].mask is not None
        if has_mask and not self.patches:
            pair = self._blank_some(pair, None)
        image_CHW, mask_1HW = self._transform(*as_tv_tensors(pair))
        return Example(image_CHW.as_subclass(Tensor), self.labels[index], mask_1HW.as_subclass(Tensor), has_mask)

    def fitted_batches(
        self, batches: Sequence[Sequence[int]], generator: Callable[[int], torch.Generator] | None = None
    ) -> Iterator[list[FittedPair]]:
        """Yield the fitted pairs of each batch of indices, decoding the next batch meanwhile.

        Patches are drawn from the ``generator`` of their place among all indices, by default
        torch's global one.
        """
        indices = list(chain.from_iterable(batches))
        ends = accumulate(map(len, batches), initial=0)

        def load(place: int) -> FittedPair:
            return self._load(indices[place], generator(place) if generator and self.patches else None)

        # A patch is cut in the thread: whole images of two batches may be too large for the memory.
        places = [range(*pair) for pair in pairwise(ends)]
        yield from decode_ahead(places, cached=lambda place: self._cached(indices[place]), decode=load)

    def window_batches(self, index: int, pair: FittedPair, size: int) -> Iterator[WindowBatch]:
        """Yield the windows of a whole image, at most ``size`` at a time."""
        image_CHW, mask_1HW = pair
        grid = WindowGrid((image_CHW.shape[1], image_CHW.shape[2]), self.config.size_HW)
        mask = mask_1HW if self.samples[index].mask is not None else None
        for numbers in grid.batches(size):
            place = Windows(grid, index, numbers[0], (mask_1HW.shape[1], mask_1HW.shape[2]), mask)
            yield WindowBatch.of(window_inputs(image_CHW, grid, numbers, self.config), self.labels[index], place)

    def _cached(self, index: int) -> FittedPair | None:
        return None if self.patches else self._cache.get(index)

    def _load(self, index: int, generator: torch.Generator | None) -> FittedPair:
        """Return a fitted pair; in training with patches, a patch of it."""
        number = index % len(self.images)
        pair = self._cache.get(number)
        if pair is None:
            pair = self._decode(number)
            self._cache.add(number, pair)
        if not self.patches:
            return pair
        if self.samples[index].mask is not None:
            pair = self._blank_some(pair, generator)
        return draw_patch(pair, self.config, generator)

    def _blank_some(self, pair: FittedPair, generator: torch.Generator | None) -> FittedPair:
        """Return the pair, in training with its background blanked with probability ``blank``."""
        if self._train and self.config.blank and float(torch.rand((), generator=generator)) < self.config.blank:
            return blank_background(pair, self.config)
        return pair

    def _decode(self, index: int) -> FittedPair:
        sample = self.samples[index]
        image = read_image(sample.image, self.config)
        mask = None if sample.mask is None else read_mask(sample.mask, size_of(image), sample.mask_classes)
        pair = fit_pair(image, mask, self.config, train=self._train)
        return blank_background(pair, self.config) if self._blank else pair


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
