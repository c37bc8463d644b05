"""Cut whole images into the network's inputs: random patches in training, windows afterwards.

Shapes: B windows, C channels, H W the image's height and width.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from .data_config import DataConfig
from .fit_image import fitted_HW, pad_with_mean, window_arrays
from .transforms import FittedPair
from .windows import WindowGrid


def draw_patch(pair: FittedPair, config: DataConfig, generator: torch.Generator | None) -> FittedPair:
    """Return a random patch of an image and its mask, of the size that the augmentation crops.

    With probability ``structure_share`` it is centred, as far as the image allows, on a pixel that
    is drawn uniformly from the structure, if there is any. Otherwise every place is equally likely.
    Random numbers come from ``generator`` (None: torch's global one).
    """
    height, width = fitted_HW(config, train=True)
    pair = pad_pair(pair, (height, width), config)
    rows, columns = (side - patch + 1 for side, patch in zip(pair.mask_1HW.shape[1:], (height, width), strict=True))
    centre = None
    if float(torch.rand((), generator=generator)) < config.structure_share:
        centre = _structure_pixel(pair.mask_1HW[0], generator)
    if centre is None:
        top, left = _draw(rows, generator), _draw(columns, generator)
    else:
        top, left = _clip(centre[0] - height // 2, rows), _clip(centre[1] - width // 2, columns)
    # Copies, so that a patch does not keep its whole image in memory.
    return FittedPair(*(part[:, top : top + height, left : left + width].clone() for part in pair))


def window_inputs(image_CHW: Tensor, grid: WindowGrid, numbers: Iterable[int], config: DataConfig) -> Tensor:
    """Return windows of a uint8 image as normalised inputs ``(B, C, height, width)``."""
    return torch.from_numpy(window_arrays(image_CHW.numpy(), grid, numbers, config))


def pad_pair(pair: FittedPair, size: tuple[int, int], config: DataConfig) -> FittedPair:
    """Pad image (mean colour) and mask (zeros) up to ``size``, at the right and the bottom."""
    height, width = pair.mask_1HW.shape[1:]
    bottom, right = max(0, size[0] - height), max(0, size[1] - width)
    if not bottom and not right:
        return pair
    image_CHW = torch.from_numpy(pad_with_mean(pair.image_CHW.numpy(), size, config))
    return FittedPair(image_CHW, F.pad(pair.mask_1HW, (0, right, 0, bottom)))


def _structure_pixel(mask_HW: Tensor, generator: torch.Generator | None) -> tuple[int, int] | None:
    """Draw a pixel of the structure uniformly: first its row, then its column."""
    upto_H = (mask_HW > 0).sum(dim=1).cumsum(dim=0)
    total = int(upto_H[-1])
    if not total:
        return None
    number = _draw(total, generator)
    row = int(torch.searchsorted(upto_H, number, right=True))
    before = int(upto_H[row - 1]) if row else 0
    return row, int(mask_HW[row].nonzero()[number - before, 0])


def _draw(number: int, generator: torch.Generator | None) -> int:
    return int(torch.randint(number, (), generator=generator))


def _clip(start: int, places: int) -> int:
    return min(max(start, 0), places - 1)
