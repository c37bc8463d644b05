"""Both U-Net 3+ decoders against the papers' figures and against steps computed by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from venation.models.decoders import UNetDecoder
from venation.models.network_config import DecoderConfig
from venation.models.unet3p import UNet3pDecoder, UNet3pReferenceDecoder

SMALL = (6, 8, 10)
SIZES = [(16, 24), (8, 12), (4, 6)]


def _levels(channels=SMALL, sizes=SIZES):
    return [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]


def _count(module):
    return sum(p.numel() for p in module.parameters())


def _parameters(kind, channels, **config):
    with torch.device("meta"):
        return _count(kind(channels, DecoderConfig(**config)))


def _conv(layer, x):
    return F.conv2d(x, layer.weight, layer.bias, padding=1)


def _block(layers, x):
    """Apply convolution, BatchNorm with the batch's own statistics, and ReLU."""
    x = _conv(layers[0], x)
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    scale, shift = (p[None, :, None, None] for p in (layers[1].weight, layers[1].bias))
    return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp(min=0)


def _up(x, factor):
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


def _window_max(x, factor):
    """Return non-overlapping maxima without a pooling layer."""
    batch, channels, height, width = x.shape
    return x.reshape(batch, channels, height // factor, factor, width // factor, factor).amax(dim=(3, 5))


def test_published_network_has_the_published_size():
    """26.97 M parameters with the paper's encoder.

    The encoder has two 3x3 convolutions with BatchNorm at each of 64 ... 1024 channels.
    """
    channels = (64, 128, 256, 512, 1024)
    with torch.device("meta"):
        encoder = nn.ModuleList()
        for before, after in zip((3, *channels), channels, strict=False):
            for source in (before, after):
                encoder += [nn.Conv2d(source, after, 3), nn.BatchNorm2d(after)]
    assert round((_count(encoder) + _parameters(UNet3pDecoder, channels)) / 1e6, 2) == 26.97


def test_reference_parameters_with_the_papers_mobile_net():
    """XMNet's totals for mobilenet_v2, less the unused convolution; timm's lacks the last level."""
    dead = 9 * 1280 * 1280 + 1280
    found = _parameters(UNet3pReferenceDecoder, (16, 24, 32, 96, 1280), gate_from=1)
    assert found == 20_590_689 - 2_480_074 - dead


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_published_parameters_follow_the_number_of_levels(count):
    """64 channels per branch, 64 n per level: summed by hand over branches, fusions and head."""
    channels, fused = (16, 24, 40, 112, 960)[:count], 64 * count
    branches = 0
    for level in range(1, count):
        sources = [*channels[:level], *[fused] * (count - 1 - level), channels[-1]]
        assert len(sources) == count
        branches += sum(9 * c * 64 + 64 + 128 for c in sources)
    fusions = (count - 1) * (9 * fused * fused + fused + 2 * fused)
    assert _parameters(UNet3pDecoder, channels) == branches + fusions + 9 * fused + 1


def test_published_network_step_by_step():
    torch.manual_seed(0)
    decoder = UNet3pDecoder(SMALL, DecoderConfig())
    e1, e2, e3 = _levels()
    one, two = decoder.nodes
    views = [
        _block(two.branches[0], _window_max(e1, 2)),
        _block(two.branches[1], e2),
        _block(two.branches[2], _up(e3, 2)),
    ]
    d2 = _block(two.fuse, torch.cat(views, dim=1))
    views = [_block(one.branches[0], e1), _block(one.branches[1], _up(d2, 2)), _block(one.branches[2], _up(e3, 4))]
    d1 = _block(one.fuse, torch.cat(views, dim=1))
    assert (d1.shape[1], d2.shape[1]) == (192, 192)
    torch.testing.assert_close(decoder([e1, e2, e3])[0], _conv(decoder.head, d1), atol=1e-5, rtol=1e-4)


def test_reference_network_step_by_step():
    """Branches first, pooled or upsampled after; one channel per level.

    Only the next deeper level comes from the decoder.
    """
    torch.manual_seed(0)
    decoder = UNet3pReferenceDecoder(SMALL, DecoderConfig())
    e1, e2, e3 = _levels()

    def pooled(x, stride):
        padded = F.pad(x, (1, 1, 1, 1), value=float("-inf"))
        return padded.unfold(2, 3, stride).unfold(3, 3, stride).amax(dim=(4, 5))

    one, two, three = decoder.nodes
    a, b, c = (_conv(branch, e) for branch, e in zip(three.branches, (e1, e2, e3), strict=True))
    d3 = _block(three.fuse, torch.cat([pooled(a, 4), pooled(b, 2), c], dim=1))
    a, b, c = (_conv(branch, e) for branch, e in zip(two.branches, (e1, e2, d3), strict=True))
    d2 = _block(two.fuse, torch.cat([pooled(a, 2), b, _up(c, 2)], dim=1))
    a, b, c = (_conv(branch, e) for branch, e in zip(one.branches, (e1, d2, e3), strict=True))
    logits = _conv(one.fuse, torch.cat([a, _up(b, 2), _up(c, 4)], dim=1))
    assert (d3.shape[1], d2.shape[1]) == (1, 1)
    torch.testing.assert_close(decoder([e1, e2, e3])[0], logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [UNet3pDecoder, UNet3pReferenceDecoder])
@pytest.mark.parametrize("sizes", [[(19, 25), (10, 13), (5, 7), (3, 4)], [(19, 25), (9, 12), (4, 6), (2, 3)]])
def test_level_sides_may_be_rounded_up_or_down(kind, sizes):
    decoder = kind((4, 6, 8, 8), DecoderConfig(supervise=True))
    logits, *sides = decoder(_levels((4, 6, 8, 8), sizes))
    assert logits.shape == (2, 1, 19, 25)
    assert [tuple(side.shape) for side in sides] == [(2, 1, *size) for size in sizes[1:]]


@pytest.mark.parametrize("kind", [UNetDecoder, UNet3pDecoder, UNet3pReferenceDecoder])
def test_skips_are_gated_before_all_uses(kind):
    """With both weights at zero all attention is one half, so gated levels are scaled by 3/4."""
    torch.manual_seed(0)
    gated = kind(SMALL, DecoderConfig(gate_from=2)).eval()
    plain = kind(SMALL, DecoderConfig()).eval()
    plain.load_state_dict({name: value for name, value in gated.state_dict().items() if "gates" not in name})
    for gate in gated.gates[1:]:
        nn.init.zeros_(gate.weigh.weight)
    first, *rest = _levels()
    torch.testing.assert_close(gated([first, *rest])[0], plain([first, *(0.75 * level for level in rest)])[0])


def test_side_heads_read_the_decoder_levels():
    """A side output is a 1x1 convolution of its own level's map."""
    torch.manual_seed(0)
    decoder = UNet3pReferenceDecoder(SMALL, DecoderConfig(supervise=True))
    maps = {}
    for index, node in enumerate(decoder.nodes):
        node.register_forward_hook(lambda node, _, out, index=index: maps.update({index: out}))
    _, *sides = decoder(_levels())
    for index, (side, head) in enumerate(zip(sides, decoder.sides.heads, strict=True), start=1):
        torch.testing.assert_close(side, maps[index] * head.weight.item() + head.bias.item())
