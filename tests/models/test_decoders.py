from itertools import product

import pytest
import torch

from venation.errors import UsageError
from venation.models.decoders import MNSADecoder, UNetDecoder
from venation.models.network_config import DecoderConfig, LevelsConfig, WidthsConfig

NAMES = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")
DENSENET161 = (96, 384, 768, 2112, 2208)
MOBILENET_V3 = (16, 24, 40, 112, 960)
SMALL = (8, 12, 16, 24)


def _widths(*values):
    return WidthsConfig(**dict(zip(NAMES, values, strict=True)))


def _mnsa(channels, widths=(0.125,) * 5, **config):
    return MNSADecoder(channels, DecoderConfig(kind="mnsa", widths=_widths(*widths), **config))


def _levels(channels, sizes, batch=1):
    return [torch.randn(batch, c, *size) for c, size in zip(channels, sizes, strict=True)]


def _count(module):
    return sum(p.numel() for p in module.parameters())


def _shapes(decoder, levels):
    """Return the channels into both convolutions and the output of every block, deep to shallow."""
    rows = []
    for block in decoder.blocks:
        block.register_forward_hook(
            lambda block, _, out: rows.append((block.conv1.in_channels, block.conv2.in_channels, tuple(out.shape[1:])))
        )
    return decoder(levels)[0], rows


def test_mnsa_shapes_are_those_of_the_published_network():
    with torch.device("meta"):
        decoder = _mnsa(DENSENET161, (1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16)).eval()
        levels = _levels(DENSENET161, [(224, 224), (112, 112), (56, 56), (28, 28), (14, 14)])
    logits, rows = _shapes(decoder, levels)
    assert rows == [
        (5796, 2457, (2112, 14, 14)),
        (5544, 1098, (768, 28, 28)),
        (2016, 504, (384, 56, 56)),
        (1008, 156, (96, 112, 112)),
        (252, 111, (96, 224, 224)),
    ]
    assert [(c.in_channels, c.out_channels) for c in decoder.center] == [(3588, 2208), (2208, 2208)]
    assert [e.out_channels for e in decoder.enhancers] == [60, 240, 480, 1320, 1380]
    assert logits.shape == (1, 1, 224, 224)


def test_unet_parameters_are_those_of_the_published_network():
    with torch.device("meta"):
        decoder = UNetDecoder(DENSENET161, DecoderConfig(kind="unet", gate_from=1))
    assert _count(decoder.center) == 43_879_584
    shallow = _count(decoder.blocks[0]) + _count(decoder.head)
    assert [shallow, *map(_count, decoder.blocks[1:])] == [249_889, 746_688, 6_636_288, 34_506_240, 124_088_448]
    assert _count(decoder.gates) == 10


def test_all_243_widths_fit_a_mobile_net(monkeypatch):
    """Every input width equals the sum of the branches.

    floor(C (2 + S)) would not (MNSA's defect).
    """
    monkeypatch.setattr(
        torch.nn.Conv2d, "reset_parameters", lambda self: None
    )  # it takes most of the time and is not needed
    uneven = (24, 40)  # the levels that 16 does not divide
    wrong_by_ratio = 0
    for widths in product((1 / 16, 1 / 8, 1 / 4), repeat=5):
        with torch.device("meta"):
            decoder = _mnsa(uneven, widths)
        expected = [2 * c + sum(int(c * width) for width in widths) for c in uneven]
        assert [block.conv1.in_channels for block in decoder.blocks] == expected
        wrong_by_ratio += expected != [int(c * (2 + sum(widths))) for c in uneven]
    assert wrong_by_ratio == 131


@pytest.mark.parametrize("widths", [(1 / 16,) * 5, (0, 1 / 16, 0, 1 / 4, 1 / 16)])
def test_uneven_widths_work(widths):
    with torch.device("meta"):
        decoder = _mnsa(MOBILENET_V3, widths).eval()
        (logits,) = decoder(_levels(MOBILENET_V3, [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]))
    assert logits.shape == (1, 1, 16, 16)


@pytest.mark.parametrize(("transfer", "expected"), [(0, [1, 1, 1]), (0.25, [1, 2, 5]), (1, [5, 10, 20])])
def test_transfer_keeps_at_least_one_channel(transfer, expected):
    decoder = _mnsa((8, 16, 32), transfer=transfer)
    assert [layer.out_channels for layer in decoder.transfers] == expected


def test_without_enhancer_branches_the_skip_is_the_level():
    torch.manual_seed(0)
    decoder = _mnsa(SMALL, (0,) * 5).eval()
    logits, rows = _shapes(decoder, _levels(SMALL, [(16, 16), (8, 8), (4, 4), (2, 2)]))
    assert [row[:2] for row in rows] == [(48, 16), (32, 12), (24, 8), (16, 8)]
    assert logits.shape == (1, 1, 16, 16)


def test_level_factors_scale_the_widths_and_zero_disables_a_level():
    levels = LevelsConfig(level1=2, level2=0, level4=0.5)
    decoder = _mnsa((16, 16, 16, 16, 16, 16), (0.25,) * 5, levels=levels)
    assert [enhancer.out_channels for enhancer in decoder.enhancers] == [40, 0, 20, 10, 20, 20]
    (logits, *_) = decoder(_levels((16,) * 6, [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2), (2, 2)], batch=2))
    assert logits.shape == (2, 1, 32, 32)


@pytest.mark.parametrize("kind", [UNetDecoder, MNSADecoder])
@pytest.mark.parametrize("channels", [0, 10])
def test_odd_sizes_and_any_number_of_levels(kind, channels):
    for count in (2, 4):
        decoder = kind(SMALL[:count], DecoderConfig(channels=channels, gate_from=2)).eval()
        sizes = [(19, 25), (10, 13), (5, 7), (3, 4)][:count]
        assert decoder(_levels(SMALL[:count], sizes))[0].shape == (1, 1, 19, 25)


def test_a_single_level_is_rejected():
    with pytest.raises(UsageError, match="at least 2 encoder levels, got 1"):
        UNetDecoder((8,), DecoderConfig())


@pytest.mark.parametrize("kind", [UNetDecoder, MNSADecoder])
def test_efficient_form_projects_every_level_and_has_one_center(kind):
    decoder = kind(SMALL, DecoderConfig(channels=10))
    assert decoder.project.out_channels == (8, 10, 10, 10)
    centers = [m for m in decoder.center.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(centers) == 1 and centers[0].out_channels == 10
    projected = decoder.project(_levels(SMALL, [(8, 8), (4, 4), (2, 2), (1, 1)], batch=2))
    assert [tuple(level.shape) for level in projected] == [(2, 8, 8, 8), (2, 10, 4, 4), (2, 10, 2, 2), (2, 10, 1, 1)]
    assert min(level.min() for level in projected) == 0


@pytest.mark.parametrize(("gate_from", "gated"), [(1, 4), (3, 2), (4, 1), (6, 0)])
def test_gates_start_at_the_chosen_level(gate_from, gated):
    decoder = UNetDecoder(SMALL, DecoderConfig(gate_from=gate_from))
    assert [gate.kind for gate in decoder.gates] == ["none"] * (4 - gated) + ["meanmax"] * gated
    assert _count(decoder.gates) == 2 * gated


def test_unet_matches_the_paper_step_by_step():
    """Compute two levels by hand: center, concatenation, ReLUs, x2 upsampling, aligned corners."""
    torch.manual_seed(0)
    decoder = UNetDecoder((4, 6), DecoderConfig())
    shallow, deep = _levels((4, 6), [(8, 8), (4, 4)])
    conv = torch.nn.functional.conv2d

    def apply(layer, x):
        return conv(x, layer.weight, layer.bias, padding=1)

    x = torch.cat([deep, apply(decoder.center, deep)], 1)
    x = apply(decoder.blocks[1].conv2, apply(decoder.blocks[1].conv1, x).relu()).relu()
    x = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
    x = torch.cat([shallow, x], 1)
    x = apply(decoder.blocks[0].conv2, apply(decoder.blocks[0].conv1, x).relu()).relu()
    torch.testing.assert_close(decoder([shallow, deep])[0], apply(decoder.head, x))


@pytest.mark.parametrize("kind", [UNetDecoder, MNSADecoder])
def test_side_outputs_are_convolutions_of_the_upsampled_blocks(kind):
    """XMNet section 5.4: the output of level 2 has level 1's size, and so on.

    The heads are 1x1 convolutions, not the channels' mean.
    """
    torch.manual_seed(0)
    decoder = kind(SMALL, DecoderConfig(supervise=True))
    blocks = {}
    for index, block in enumerate(decoder.blocks):
        block.register_forward_hook(lambda block, _, out, index=index: blocks.update({index: out}))
    sizes = [(16, 16), (8, 8), (4, 4), (2, 2)]
    _, *sides = decoder(_levels(SMALL, sizes, batch=2))
    assert [tuple(side.shape) for side in sides] == [(2, 1, *size) for size in sizes[:3]]
    for index, (side, head) in enumerate(zip(sides, decoder.sides.heads, strict=True), start=1):
        # A 1x1 convolution and bilinear upsampling commute.
        logits = torch.einsum("bchw,c->bhw", blocks[index], head.weight.flatten())[:, None] + head.bias
        expected = torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=True)
        torch.testing.assert_close(side, expected, atol=1e-5, rtol=1e-4)
    assert len(decoder.eval()(_levels(SMALL, sizes))) == 1
