"""The last step to the image's own size, with the image itself in view.

Shapes: B batch, W width, H W the image's size, h w the decoder's output.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DetailDecoder(nn.Module):
    """A decoder whose logits are corrected at the image's size by what the pixels around each place look like.

    The levels of an encoder begin at half the image's size or below: structures of one or two pixels are gone there,
    and no decoder of them brings back where exactly they lay. ``width`` maps of the image are joined with the upsampled
    logits; what two convolutions make of both is added to the logits.
    """

    def __init__(self, decoder: nn.Module, width: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.image = _block(3, width)
        self.join = _block(width + 1, width)
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, levels: Sequence[Tensor], image_B3HW: Tensor) -> list[Tensor]:
        """Encoder levels and the image -> logits ``(B, 1, H, W)``, then the decoder's side outputs, if any."""
        logits_B1hw, *sides = self.decoder(levels)
        # Half-pixel centres, as the resizing of images and masks has them.
        logits_B1HW = F.interpolate(logits_B1hw, image_B3HW.shape[-2:], mode="bilinear")
        maps_BWHW = self.join(torch.cat((logits_B1HW, self.image(image_B3HW)), dim=1))
        return [logits_B1HW + self.head(maps_BWHW), *sides]


def _block(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )
