import pytest
import torch
import torch.nn.functional as F

from venation.models.build import build_network
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.models.pyramid import PyramidDecoder, SimpleFeaturePyramid


def test_five_maps_at_an_eighth_to_twice_the_stride():
    pyramid = SimpleFeaturePyramid(384)
    assert pyramid.out_channels == (64, 128, 256, 256, 256)
    maps = pyramid(torch.randn(2, 384, 3, 5))
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, 24, 40),
        (2, 128, 12, 20),
        (2, 256, 6, 10),
        (2, 256, 3, 5),
        (2, 256, 2, 3),
    ]


def test_a_narrow_encoder_sets_the_width_and_one_position_stays_one():
    pyramid = SimpleFeaturePyramid(64)
    assert pyramid.out_channels == (16, 32, 64, 64, 64)
    assert pyramid(torch.randn(1, 64, 1, 1))[-1].shape == (1, 64, 1, 1)


def _norm(x, weight, bias):
    """Apply LayerNorm over the channels, by its definition."""
    mean = x.mean(dim=1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=1, keepdim=True)
    return (x - mean) / (variance + 1e-6).sqrt() * weight[:, None, None] + bias[:, None, None]


def _doubled(x, weight, bias):
    """Apply a 2x2 transposed convolution of stride 2: every position becomes a 2x2 patch."""
    b, _, h, w = x.shape
    patches = torch.einsum("bchw,cdij->bdhiwj", x, weight)
    return patches.reshape(b, weight.shape[1], 2 * h, 2 * w) + bias[:, None, None]


def test_the_quarter_stride_map_equals_vitdets():
    # ViTDet: transposed convolution, LayerNorm, GELU, transposed convolution, then 1x1 and 3x3,
    # each with LayerNorm.
    torch.manual_seed(0)
    pyramid = SimpleFeaturePyramid(32)
    for parameter in pyramid.parameters():
        torch.nn.init.normal_(parameter)
    up1, norm1, _, up2, reduce, norm2, mix, norm3 = pyramid.levels[1]
    x = torch.randn(1, 32, 2, 3)
    wanted = F.gelu(_norm(_doubled(x, up1.weight, up1.bias), norm1.weight, norm1.bias))
    wanted = _doubled(wanted, up2.weight, up2.bias)
    wanted = _norm(torch.einsum("bchw,dc->bdhw", wanted, reduce.weight[:, :, 0, 0]), norm2.weight, norm2.bias)
    wanted = _norm(F.conv2d(wanted, mix.weight, padding=1), norm3.weight, norm3.bias)
    torch.testing.assert_close(pyramid(x)[1], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["unet", "mnsa"])
def test_decoders_of_a_plain_transformer_get_a_pyramid(kind):
    torch.manual_seed(0)
    config = NetworkConfig(
        encoder=EncoderConfig(name="test_vit"),
        decoder=DecoderConfig(kind=kind, channels=8, full_size=True),
        num_classes=3,
        size=(64, 96),
    )
    network = build_network(config)
    assert isinstance(network.decoder, PyramidDecoder)
    network.freeze_base()
    output = network(torch.randn(2, 3, 64, 96))
    assert output.mask_logits_B1HW.shape == (2, 1, 64, 96)
    output.mask_logits_B1HW.square().mean().backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert all(name.startswith("decoder.") for name in trained)
    assert {f"decoder.pyramid.{name}" for name, _ in network.decoder.pyramid.named_parameters()} < trained


def test_an_encoder_with_levels_gets_no_pyramid():
    network = build_network(
        NetworkConfig(encoder=EncoderConfig(name="test_resnet"), decoder=DecoderConfig(kind="unet"), num_classes=2)
    )
    assert not isinstance(network.decoder, PyramidDecoder)
