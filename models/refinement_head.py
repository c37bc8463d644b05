"""A refinement head that corrects mask logits at full size from the image itself.

Shapes: B batch, C the image's channels, K maps of logits, W width, H W the image's size, h w the
decoder's output.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DetailDecoder(nn.Module):
    """A decoder whose logits are upsampled and corrected with features of the image.

    The levels of an encoder start at half the image's size or below. Structures of one or two
    pixels are lost there, and a decoder of these levels cannot recover their exact place. So two
    convolutions read the upsampled logits and ``width`` feature maps of the image, and their output
    is added to the logits.
    """

    reads_image = True

    def __init__(self, decoder: nn.Module, width: int, *, maps: int = 1, channels: int = 3) -> None:
        super().__init__()
        self.decoder = decoder
        self.image = _block(channels, width)
        self.join = _block(width + maps, width)
        self.head = nn.Conv2d(width, maps, 3, padding=1)

    def forward(self, levels: Sequence[Tensor], image_BCHW: Tensor) -> list[Tensor]:
        """Return the logits ``(B, K, H, W)`` at the image's size, then any side outputs."""
        logits_B1hw, *sides = self.decoder(levels)
        # Half-pixel centres, as in every resize of images and masks.
        logits_B1HW = F.interpolate(logits_B1hw, image_BCHW.shape[-2:], mode="bilinear")
        maps_BWHW = self.join(torch.cat((logits_B1HW, self.image(image_BCHW)), dim=1))
        return [logits_B1HW + self.head(maps_BWHW), *sides]


def _block(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )
