"""Change an image and its mask together: crops, padding, turns, rotation, erasing.

Shapes: C channels, H W height and width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors

# Random erasing as in XMNet's and MGANet's recipe: share of the image area, height to width.
ERASE_AREA = (0.02, 0.33)
ERASE_RATIO = (0.3, 3.3)


class CropTo(nn.Module):
    """A random crop to at most ``size`` (height, width); a shorter side stays as it is."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and mask, cropped alike."""
        rows, columns = (self._slice(*sides) for sides in zip(image_CHW.shape[-2:], self.size, strict=True))
        return tv_tensors.Image(image_CHW[..., rows, columns]), tv_tensors.Mask(mask_1HW[..., rows, columns])

    def _slice(self, length: int, most: int) -> slice:
        excess = length - most
        if excess <= 0:
            return slice(None)
        start = int(torch.randint(0, excess + 1, ()))
        return slice(start, start + most)


class PadTo(nn.Module):
    """Padding at the right and the bottom up to ``size``, height and width (XMNet, MGANet).

    The image has been normalised, so that zeros are the mean colour. ``fill_C`` gives another value
    for each channel. The mask is padded with zeros.
    """

    def __init__(self, size: tuple[int, int], fill_C: Tensor | None = None) -> None:
        super().__init__()
        self.size = size
        self.fill_C = fill_C

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and mask, each at least ``size`` high and wide."""
        height, width = image_CHW.shape[-2:]
        pad = (0, max(0, self.size[1] - width), 0, max(0, self.size[0] - height))
        if not any(pad):
            return image_CHW, mask_1HW
        padded_CHW = F.pad(image_CHW.as_subclass(Tensor), pad)
        if self.fill_C is not None:
            padded_CHW[:, height:], padded_CHW[:, :, width:] = (self.fill_C[:, None, None],) * 2
        return tv_tensors.Image(padded_CHW), tv_tensors.Mask(F.pad(mask_1HW, pad))


class JointTurn(nn.Module):
    """A turn of a square image and its mask by 90, 180 or 270 degrees, with probability ``p``.

    Nothing is interpolated and no corner is lost.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return both, turned alike or unchanged."""
        if float(torch.rand(())) >= self.p:
            return image_CHW, mask_1HW
        quarters = int(torch.randint(1, 4, ()))
        turned = (torch.rot90(part.as_subclass(Tensor), quarters, (1, 2)) for part in (image_CHW, mask_1HW))
        return tv_tensors.Image(next(turned)), tv_tensors.Mask(next(turned))


class JointRotate(nn.Module):
    """Rotation of a normalised image and its mask by up to ``degrees`` in either direction.

    On normalised pixels the new corners are zero, the mean colour, without a seam. torchvision's
    rotation of uint8 pixels darkens the seam and takes five times as long.
    """

    def __init__(self, degrees: float) -> None:
        super().__init__()
        self.degrees = degrees

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return both, rotated by one random angle: image bilinear, mask nearest-neighbour."""
        angle = math.radians(float(torch.empty(()).uniform_(-self.degrees, self.degrees)))
        sine, cosine = math.sin(angle), math.cos(angle)
        # The grid's units are half the width and half the height; without their ratio the rotation
        # would shear.
        tall = image_CHW.shape[-2] / image_CHW.shape[-1]
        turn_123 = torch.tensor([[[cosine, -sine * tall, 0.0], [sine / tall, cosine, 0.0]]])
        plain_1CHW, plain_11HW = image_CHW.as_subclass(Tensor)[None], mask_1HW.as_subclass(Tensor)[None]
        grid_1HW2 = F.affine_grid(turn_123, list(plain_1CHW.shape), align_corners=False)
        turned = F.grid_sample(plain_1CHW, grid_1HW2, align_corners=False)[0]
        turned_mask = F.grid_sample(plain_11HW, grid_1HW2, mode="nearest", align_corners=False)[0]
        return tv_tensors.Image(turned), tv_tensors.Mask(turned_mask)


class JointErase(nn.Module):
    """Random erasing, with probability ``p``, of a rectangle in a normalised image and its mask.

    torchvision's RandomErasing keeps the mask, so the network would have to predict a vein that it
    cannot see. The rectangle's area and aspect ratio are drawn as in that class (log-uniform ratio,
    at most ten attempts).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, image_CHW: Tensor, mask_1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Erase in place and return both."""
        if float(torch.rand(())) < self.p:
            height, width = image_CHW.shape[-2:]
            for _ in range(10):
                area = height * width * float(torch.empty(()).uniform_(*ERASE_AREA))
                ratio = math.exp(float(torch.empty(()).uniform_(*map(math.log, ERASE_RATIO))))
                high, wide = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if 0 < high < height and 0 < wide < width:
                    top = int(torch.randint(height - high + 1, ()))
                    left = int(torch.randint(width - wide + 1, ()))
                    image_CHW[..., top : top + high, left : left + wide] = 0
                    mask_1HW[..., top : top + high, left : left + wide] = 0
                    break
        return image_CHW, mask_1HW
