"""ViTDet's simple feature pyramid (arXiv 2203.16527), for encoders whose levels have one size.

Shapes: B batch, C the encoder's channels, h w its last level's size.
"""

from collections.abc import Sequence

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

# How often each level halves the encoder's stride, shallow to deep; the last doubles it.
_FINER = (3, 2, 1, 0, -1)
_WIDTH = 256


class SimpleFeaturePyramid(nn.Module):
    """The last level at stride p -> five maps at strides p/8, p/4, p/2, p and 2p.

    Finer maps come from 2x2 transposed convolutions of stride 2. Each halves the channels, and
    LayerNorm over the channels and GELU separate two of them. The coarser map comes from
    max-pooling. A 1x1 and a 3x3 convolution, each with LayerNorm, then bring every map to its
    width.

    ViTDet has four maps of 256 channels. The fifth, p/8, is the first level of decoders that expect
    five. The two finest maps have a quarter and a half of the width: at full width their cost would
    exceed that of all others. An encoder with fewer than 256 channels sets the width.
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
        """Turn ``(B, C, h, w)`` into five maps with ``out_channels`` channels.

        The sides are 8h, 4h, 2h, h and h/2 rounded up.
        """
        return [level(x_BChw) for level in self.levels]


class PyramidDecoder(nn.Module):
    """A decoder on a feature pyramid of the encoder's last level.

    The pyramid's weights are trained and saved with the decoder's.
    """

    def __init__(self, pyramid: SimpleFeaturePyramid, decoder: nn.Module) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.decoder = decoder

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the decoder's outputs.

        The logits come first: ``(B, K, 8h, 8w)`` if the decoder's output has its first level's
        size.
        """
        outputs: list[Tensor] = self.decoder(self.pyramid(levels[-1]))
        return outputs


def _resize(channels: int, finer: int) -> list[nn.Module]:
    if finer < 0:
        # Rounded up, as strided convolutions do, so that a single position stays one.
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
