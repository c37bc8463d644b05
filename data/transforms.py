"""Transform an image and its mask together: a deterministic fit, then random augmentation.

Shapes: C channels, H W height and width; an image is C x H x W uint8 until the last step, a mask 1
x H x W of {0, 1} or of the numbers of mask classes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from scipy.ndimage import binary_fill_holes
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from .data_config import DataConfig
from .fit_image import (
    centre_crop,
    eval_array,
    fit_image,
    fitted_HW,
    fitted_size,
    mean_colour,
    pad_array,
    seen_array,
    seen_HW,
    to_CHW,
)
from .joint_transforms import CropTo, JointErase, JointRotate, JointTurn, PadTo
from .pixels import Pixels, size_of
from .policies import BandByBand, build_policy

CROP_RATIO = (3 / 4, 4 / 3)
# PIM section 9: blur kernel in pixels, range of its sigma, sharpness factor.
BLUR_KERNEL = 5
BLUR_SIGMA = (0.1, 5.0)
SHARPNESS = 1.5


class FittedPair(NamedTuple):
    """An image and its mask, uint8, after the deterministic fit and before augmentation."""

    image_CHW: Tensor
    mask_1HW: Tensor


def fit_pair(
    image_HWC: Pixels, mask: npt.NDArray[np.uint8] | None, config: DataConfig, *, train: bool = False
) -> FittedPair:
    """Fit an upright image and its mask H x W (None: no structure) to the configured size.

    ``squash`` and ``pad`` resize to ``fitted_HW``: the image by ``config.interpolation`` with
    antialiasing, the mask to the nearest pixel centre, which keeps its values and, on average, the
    area of thin structures. ``crop`` and ``whole`` keep the native scale. ``patch`` keeps it, or
    resizes to ``scale`` times it; in evaluation the mask keeps its own size, at which whole images
    are scored.
    """
    own = size_of(image_HWC)
    drawn = Image.new("L", own) if mask is None else Image.fromarray(mask)
    size = fitted_size(own, config, train=train)
    if size != own and (train or config.fit != "patch"):
        drawn = drawn.resize(size, Image.Resampling.NEAREST)
    if config.fit == "pad":
        height, width = fitted_HW(config, train=train)
        drawn = ImageOps.pad(drawn, (width, height), method=Image.Resampling.NEAREST)
    image_CHW = torch.from_numpy(to_CHW(fit_image(image_HWC, config, train=train)))
    return FittedPair(image_CHW, torch.from_numpy(np.array(drawn))[None])


def blank_background(pair: FittedPair, config: DataConfig) -> FittedPair:
    """Set every pixel outside the mask to the mean colour.

    Pixels that the structure encloses are not background: the holes in a net of veins keep their
    colours. A mask of another size is resized to the nearest pixel.
    """
    mean_C11 = torch.tensor(mean_colour(config), dtype=torch.uint8)[:, None, None]
    mask_1HW = F.interpolate(pair.mask_1HW[None], pair.image_CHW.shape[1:], mode="nearest-exact")[0]
    inside_1HW = torch.from_numpy(binary_fill_holes(mask_1HW[0].numpy()))[None]
    return FittedPair(torch.where(inside_1HW, pair.image_CHW, mean_C11), pair.mask_1HW)


def eval_image(image_HWC: Pixels, config: DataConfig) -> Tensor:
    """Convert an upright image to a normalised C x H x W float32 tensor, as in evaluation.

    For ``patch`` it is the whole image.
    """
    return torch.from_numpy(eval_array(image_HWC, config))


def as_tv_tensors(pair: FittedPair) -> tuple[Tensor, Tensor]:
    """Return image and mask in torchvision's tensor types, which its transforms distinguish."""
    return tv_tensors.Image(pair.image_CHW), tv_tensors.Mask(pair.mask_1HW)


def eval_transform(config: DataConfig) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the evaluation transform: (image, mask) to normalised float32 and float32 mask."""

    def transform(image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        seen_1HW = mask_1HW.numpy()[..., *centre_crop(tuple(mask_1HW.shape[-2:]), config)].astype(np.float32)
        if config.crops:
            seen_1HW = pad_array(seen_1HW, seen_HW(config, (0, 0)), np.zeros((1, 1, 1), np.float32))
        return torch.from_numpy(seen_array(image_CHW.numpy(), config)), torch.from_numpy(seen_1HW)

    return transform


def train_transform(config: DataConfig) -> v2.Compose:
    """Return the training transform: the result is as in evaluation, but randomly changed.

    Random numbers come from torch's global generator. For ``patch`` the input is a patch. For
    ``crop`` and ``whole`` the result is that of XMNet's and MGANet's recipe: flip, normalise, pad,
    crop, erase. The padding comes last, which is the same, because only sides that need no crop are
    padded. A policy (``augment``), blur and sharpening apply to the uint8 image after the crop, as
    in PIM section 9.
    """
    steps: list[nn.Module] = []
    if config.hflip:
        steps.append(v2.RandomHorizontalFlip(config.hflip))
    if config.vflip:
        steps.append(v2.RandomVerticalFlip(config.vflip))
    if config.crops:
        steps.append(CropTo(config.size_HW))
    else:
        steps += _random_crop(config)
    if config.turn:
        steps.append(JointTurn(config.turn))
    if config.augment != "none":
        steps.append(build_policy(config.augment, mean_colour(config)))
    if config.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(BLUR_KERNEL, BLUR_SIGMA)], config.blur))
    if config.sharpen:
        steps.append(_of_colours(v2.RandomAdjustSharpness(SHARPNESS, config.sharpen), config))
    steps.append(_to_float())
    if config.colour:
        jitter = v2.ColorJitter(brightness=config.colour, contrast=config.colour, saturation=config.colour)
        steps.append(_of_colours(jitter, config))
    steps.append(_normalise(config))
    if config.crops:
        steps.append(_pad_to(config.size_HW, config))
        steps += _random_crop(config)
    if config.rotate:
        steps.append(JointRotate(config.rotate))
    if config.erase:
        steps.append(JointErase(config.erase))
    return v2.Compose(steps)


def _random_crop(config: DataConfig) -> list[nn.Module]:
    """Return the steps from the fitted size to the network's; resized crops keep its aspect."""
    if config.min_area < 1:
        aspect = config.size_HW[1] / config.size_HW[0]
        ratio = (CROP_RATIO[0] * aspect, CROP_RATIO[1] * aspect)
        return [v2.RandomResizedCrop(config.size_HW, scale=(config.min_area, 1.0), ratio=ratio)]
    return [v2.RandomCrop(config.size_HW)] if config.zoom > 1 else []


def _pad_to(size: tuple[int, int], config: DataConfig) -> nn.Module:
    if config.border == "mean":
        return PadTo(size)
    mean_C, std_C = map(torch.tensor, config.normalisation)
    return PadTo(size, (0 - mean_C) / std_C)


def _of_colours(change: nn.Module, config: DataConfig) -> nn.Module:
    """Return a change of colours, which torchvision defines for one and three channels only."""
    return change if config.channels == 3 else BandByBand(change)


def _to_float() -> nn.Module:
    dtypes = {tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.float32, "others": None}
    return v2.ToDtype(dtypes, scale=True)


def _normalise(config: DataConfig) -> nn.Module:
    mean, std = config.normalisation
    return v2.Normalize(list(mean), list(std))
