"""A feature pyramid for encoders whose levels have one size: ViTDet's simple pyramid (arXiv 2203.16527).

Shapes: B batch, C the encoder's channels, h w its last level's size.
"""

from collections.abc import Sequence

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

# Halvings of the encoder's stride, shallow to deep; the last level doubles it.
_FINER = (3, 2, 1, 0, -1)
_WIDTH = 256


class SimpleFeaturePyramid(nn.Module):
    """The last level at stride p -> five maps at strides p/8, p/4, p/2, p and 2p.

    Finer maps come from 2x2 transposed convolutions of stride 2, each of which halves the channels, with LayerNorm over
    the channels and GELU between two of them; the coarser one from max-pooling. A 1x1 and a 3x3 convolution, each with
    LayerNorm, then bring every map to its width. ViTDet has four maps of 256 channels; the fifth, p/8, gives decoders
    that expect five levels their first, and the two finest have a quarter and a half of the width: at full width they
    would outweigh all else. An encoder of fewer channels than 256 sets the width.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = min(_WIDTH, channels)
        self.out_channels = (max(1, width // 4), max(1, width // 2), width, width, width)
        self.levels = nn.ModuleList(
            nn.Sequential(*_resize(channels, finer), *_project(max(1, channels >> max(0, finer)), out))
            for finer, out in zip(_FINER, self.out_channels, strict=True)
        )

    def forward(self, x_BChw: Tensor) -> list[Tensor]:
        """``(B, C, h, w)`` -> five maps of sides 8h, 4h, 2h, h and h/2 rounded up, ``out_channels`` wide."""
        return [level(x_BChw) for level in self.levels]


class PyramidDecoder(nn.Module):
    """A decoder behind the pyramid of the encoder's last level; its weights train, and are kept, with the decoder's."""

    def __init__(self, pyramid: SimpleFeaturePyramid, decoder: nn.Module) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.decoder = decoder

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """What the decoder says: logits ``(B, 1, 8h, 8w)`` first, where its own first level is the finest map."""
        outputs: list[Tensor] = self.decoder(self.pyramid(levels[-1]))
        return outputs


def _resize(channels: int, finer: int) -> list[nn.Module]:
    if finer < 0:
        # Rounded up, as strided convolutions round: a single position stays one.
        return [nn.MaxPool2d(2, ceil_mode=True)]
    layers: list[nn.Module] = []
    for halving in range(finer):
        if halving:
            layers += [LayerNorm2d(max(1, channels >> halving)), nn.GELU()]
        layers.append(nn.ConvTranspose2d(max(1, channels >> halving), max(1, channels >> (halving + 1)), 2, stride=2))
    return layers


def _project(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    ]
