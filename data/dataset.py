"""Datasets: samples as examples of tensors, cached and augmented.

Shapes: B batch, C channels, H W the network's input.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain, pairwise

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .batch import Batch as Batch
from .batch import Example, WindowBatch, Windows
from .data_config import DataConfig
from .image_cache import ImageCache, default_cache_bytes
from .images import read_image, read_mask
from .manifest import Sample
from .patches import draw_patch, window_inputs
from .pixels import size_of
from .prefetch import decode_ahead
from .sample_labels import label_indices, require_masks
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
