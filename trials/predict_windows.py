"""Predict one whole image by overlapping windows, in memory that does not grow beyond its maps.

Shapes: B windows, K classes, C features, H W the original image, h w a window or its map.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..data.data_config import DataConfig
from ..data.patches import window_inputs
from ..data.pixels import Pixels
from ..data.transforms import fit_pair
from ..data.windows import WindowGrid
from ..models.network import MultitaskNetwork
from ..models.plugin import PluginOutput
from .booster import Booster
from .flips import Flip, average_within_memory, boosted
from .greedy_ensemble import LevelRecorder, mean_heat
from .mask_pictures import mask_array
from .stitching import Stitcher

WINDOWS_AT_ONCE = 16


class Answer(NamedTuple):
    """The network's answer for one image; None for maps that do not exist or were not asked for.

    ``mask`` as in ``Prediction``; the heat's scale is arbitrary. Both have the image's own size,
    and so have the ranks of selected positions in ``kept``.
    """

    probability_K: NDArray[np.float32]
    mask: NDArray[np.uint8] | None
    heat_HW: Tensor | None
    kept: tuple[NDArray[np.uint8], ...] | None


def predict_windows(
    network: MultitaskNetwork,
    image: Pixels,
    config: DataConfig,
    *,
    flips: tuple[Flip, ...],
    booster: Booster | None,
    device: torch.device,
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
    view = _WholeView(image, config, device)
    mask = np.zeros(view.size, np.uint8) if segment and network.decoder is not None else None
    stitcher, ranks = Stitcher(view.grid, view.size), _Ranks(view.grid)
    probabilities, features = _Sum(), [_Sum() for _ in flips]
    for first, x_BCHW in view.inputs():
        with torch.no_grad():
            outputs = average_within_memory(network, x_BCHW, flips=flips, segment=mask is not None)
        for output in outputs:
            probabilities.add(output.checked().probability_BN)
            for total, features_BC in zip(features, output.features, strict=True):
                total.add(features_BC)
            if mask is not None and output.mask_logits_B1hw is not None:
                for top, band_KHW in stitcher.add(output.mask_logits_B1hw, first):
                    mask[top : top + band_KHW.shape[1]] = mask_array(band_KHW)
            if kept and output.unflipped.plugin is not None:
                ranks.add(rank_maps(output.unflipped.plugin), first)
            first += len(output.probability_BN)
    probability_1K = probabilities.mean()
    if booster is not None:
        probability_1K = boosted(booster, [total.mean() for total in features])
    label = int(probability_1K.argmax()) if of_class is None else of_class
    heat_HW = _heat(network, view, label) if heat else None
    return Answer(probability_1K[0], mask, heat_HW, ranks.images(view.size))


class _WholeView:
    """An image's pixels, its own size, and its windows as inputs of the network."""

    def __init__(self, image: Pixels, config: DataConfig, device: torch.device) -> None:
        self._image_CHW = fit_pair(image, None, config).image_CHW
        self._config = config
        self._device = device
        self.size = image.shape[:2]
        self.grid = WindowGrid((self._image_CHW.shape[1], self._image_CHW.shape[2]), config.size_HW)

    def inputs(self) -> Iterator[tuple[int, Tensor]]:
        """Yield batches of windows, each with the number of its first one."""
        for numbers in self.grid.batches(WINDOWS_AT_ONCE):
            yield numbers[0], window_inputs(self._image_CHW, self.grid, numbers, self._config).to(self._device)


class _Sum:
    """The mean of rows that come in batches."""

    def __init__(self) -> None:
        self._total_1N: Tensor | float = 0.0
        self._count = 0

    def add(self, rows_BN: Tensor) -> None:
        self._total_1N = self._total_1N + rows_BN.sum(dim=0, keepdim=True)
        self._count += len(rows_BN)

    def mean(self) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = (torch.as_tensor(self._total_1N) / self._count).float().cpu().numpy()
        return mean


class _Ranks:
    """The highest rank of a selected position at every pixel, level by level."""

    def __init__(self, grid: WindowGrid) -> None:
        self._grid = grid
        self._levels: list[Tensor] = []

    def add(self, ranks: tuple[Tensor, ...], first: int) -> None:
        """Add the rank maps ``(B, h, w)`` of the windows from number ``first`` on."""
        if not self._levels:
            self._levels = [torch.zeros(1, *self._grid.size, dtype=torch.uint8) for _ in ranks]
        for level_1HW, rank_Bhw in zip(self._levels, ranks, strict=True):
            sharp_B1hw = F.interpolate(rank_Bhw[:, None], self._grid.window, mode="nearest-exact")
            for number, rank_1hw in enumerate((sharp_B1hw * 255).round().byte(), start=first):
                seen = self._grid.crop(level_1HW, number)
                torch.maximum(seen, rank_1hw[:, : seen.shape[1], : seen.shape[2]], out=seen)

    def images(self, size: tuple[int, int]) -> tuple[NDArray[np.uint8], ...] | None:
        """Return the ranks at the image's own size; None if there were none."""
        resized = (F.interpolate(level[None], size, mode="nearest-exact")[0, 0].numpy() for level in self._levels)
        return tuple(resized) or None


@torch.no_grad()
def _heat(network: MultitaskNetwork, view: _WholeView, label: int) -> Tensor:
    """Return the heat map of a class over the whole image."""
    heat_HW, stitcher = torch.zeros(view.size), Stitcher(view.grid, view.size)
    for first, x_BCHW in view.inputs():
        with LevelRecorder(network) as recorder:
            output = network(x_BCHW, segment=False)
        share_B = output.logits_BN.softmax(dim=1)[:, label]
        window_Bhw = mean_heat(recorder, torch.full((len(x_BCHW),), label, device=x_BCHW.device))
        for top, band_1HW in stitcher.add((window_Bhw * share_B[:, None, None])[:, None], first):
            heat_HW[top : top + band_1HW.shape[1]] = band_1HW[0].cpu()
    return heat_HW


def rank_maps(output: PluginOutput) -> tuple[Tensor, ...]:
    """Return the ranks of selected positions, level by level, ``(B, h, w)`` on the CPU.

    The position of rank r, counted from 0, of K selected ones has the value (K - r) / K; a dropped
    position has 0.
    """
    maps = []
    for kept_BK, (height, width) in zip(output.kept, output.sizes, strict=True):
        count = kept_BK.shape[1]
        rank_BS = torch.zeros(len(kept_BK), height * width)
        share_BK = (torch.arange(count, 0, -1) / count).expand(len(kept_BK), count)
        maps.append(rank_BS.scatter(1, kept_BK.cpu(), share_BK).view(-1, height, width))
    return tuple(maps)
