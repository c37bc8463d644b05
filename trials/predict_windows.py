"""Predict one whole image by overlapping windows, in memory that does not grow beyond its maps.

Shapes: B windows, K classes, C features, H W the original image, h w a window or its map.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.data_config import DataConfig
from ..data.fit_image import fit_image, to_CHW, window_arrays
from ..data.pixels import Pixels
from ..data.windows import WindowGrid
from .flips import NO_FLIPS, Booster, Flip, boosted
from .mask_pictures import mask_array
from .resample import Floats, resize_nearest
from .runner import Runner, checked
from .stitching import Stitcher

WINDOWS_AT_ONCE = 16


class Answer(NamedTuple):
    """The network's answer for one image; None for maps that do not exist or were not asked for.

    ``mask`` as in ``Prediction``; the heat's scale is arbitrary. Both have the image's own size,
    and so have the ranks of selected positions in ``kept``.
    """

    probability_K: Floats
    mask: NDArray[np.uint8] | None
    heat_HW: Floats | None
    kept: tuple[NDArray[np.uint8], ...] | None


def predict_windows(
    runner: Runner,
    image: Pixels,
    config: DataConfig,
    *,
    flips: tuple[Flip, ...],
    booster: Booster | None,
    segment: bool,
    heat: bool,
    kept: bool,
    of_class: int | None = None,
) -> Answer:
    """Return the answer for an upright image, from all its windows.

    Class probabilities are means over the windows; a booster gets the mean of their features. Mask
    logits and heat are means weighted by a Gaussian at the centre of each window. The heat of a
    window is multiplied by its probability of the image's class, or of ``of_class``, because each
    window's own map has a peak of 1. Of the ranks of selected positions, the highest counts.
    """
    view = _WholeView(image, config)
    mask = np.zeros(view.size, np.uint8) if segment and runner.has_masks else None
    stitcher, ranks = Stitcher(view.grid, view.size), _Ranks(view.grid)
    probabilities, features = _Sum(), [_Sum() for _ in flips]
    for first, x_BCHW in view.inputs():
        output = checked(runner.run(x_BCHW, flips=flips, segment=mask is not None, kept=kept))
        probabilities.add(output.probability_BN)
        for total, features_BC in zip(features, output.features, strict=True):
            total.add(features_BC)
        if mask is not None and output.mask_logits_BKhw is not None:
            for top, band_KHW in stitcher.add(output.mask_logits_BKhw, first):
                mask[top : top + band_KHW.shape[1]] = mask_array(band_KHW)
        if output.ranks is not None:
            ranks.add(output.ranks, first)
    probability_1K = probabilities.mean()
    if booster is not None:
        probability_1K = boosted(booster, [total.mean() for total in features])
    label = int(probability_1K.argmax()) if of_class is None else of_class
    heat_HW = _heat(runner, view, label) if heat else None
    return Answer(probability_1K[0], mask, heat_HW, ranks.images(view.size))


class _WholeView:
    """An image's pixels, its own size, and its windows as inputs of the network."""

    def __init__(self, image: Pixels, config: DataConfig) -> None:
        self._image_CHW = to_CHW(fit_image(image, config))
        self._config = config
        self.size = image.shape[:2]
        self.grid = WindowGrid((self._image_CHW.shape[1], self._image_CHW.shape[2]), config.size_HW)

    def inputs(self) -> Iterator[tuple[int, Floats]]:
        """Yield batches of windows, each with the number of its first one."""
        for numbers in self.grid.batches(WINDOWS_AT_ONCE):
            yield numbers[0], window_arrays(self._image_CHW, self.grid, numbers, self._config)


class _Sum:
    """The mean of rows that come in batches."""

    def __init__(self) -> None:
        self._total_1N: Floats | float = 0.0
        self._count = 0

    def add(self, rows_BN: Floats) -> None:
        self._total_1N = self._total_1N + rows_BN.sum(axis=0, keepdims=True)
        self._count += len(rows_BN)

    def mean(self) -> Floats:
        return np.asarray(self._total_1N / self._count, np.float32)


class _Ranks:
    """The highest rank of a selected position at every pixel, level by level."""

    def __init__(self, grid: WindowGrid) -> None:
        self._grid = grid
        self._levels: list[NDArray[np.uint8]] = []

    def add(self, ranks: tuple[Floats, ...], first: int) -> None:
        """Add the rank maps ``(B, h, w)`` of the windows from number ``first`` on."""
        if not self._levels:
            self._levels = [np.zeros((1, *self._grid.size), np.uint8) for _ in ranks]
        for level_1HW, rank_Bhw in zip(self._levels, ranks, strict=True):
            sharp_Bhw = resize_nearest(np.rint(rank_Bhw * 255).astype(np.uint8), self._grid.window)
            for number, rank_hw in enumerate(sharp_Bhw, start=first):
                seen = self._grid.crop(level_1HW, number)
                np.maximum(seen, rank_hw[: seen.shape[1], : seen.shape[2]], out=seen)

    def images(self, size: tuple[int, int]) -> tuple[NDArray[np.uint8], ...] | None:
        """Return the ranks at the image's own size; None if there were none."""
        resized = (resize_nearest(level_1HW[0], size) for level_1HW in self._levels)
        return tuple(resized) or None


def _heat(runner: Runner, view: _WholeView, label: int) -> Floats:
    """Return the heat map of a class over the whole image."""
    heat_HW, stitcher = np.zeros(view.size, np.float32), Stitcher(view.grid, view.size)
    for first, x_BCHW in view.inputs():
        output = runner.run(x_BCHW, flips=NO_FLIPS, segment=False, heat=True)
        assert output.heat is not None
        share_B = output.probability_BN[:, label]
        window_Bhw = output.heat(np.full(len(x_BCHW), label))
        for top, band_1HW in stitcher.add((window_Bhw * share_B[:, None, None])[:, None], first):
            heat_HW[top : top + band_1HW.shape[1]] = band_1HW[0]
    return heat_HW
