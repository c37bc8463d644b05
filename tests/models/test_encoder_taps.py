"""Levels of transformers: Swin after its patch mergings, and plain ones."""

import pytest
import timm
import torch

from venation.errors import UsageError
from venation.models.encoder import build_encoder, level_sizes
from venation.models.network_config import EncoderConfig


@pytest.mark.parametrize(
    ("name", "size"), [("swin_tiny_patch4_window7_224", (64, 96)), ("swinv2_tiny_window8_256", (64, 64))]
)
def test_merged_levels_are_the_stock_swins_bit_for_bit(name, size):
    torch.manual_seed(0)
    stock = timm.create_model(name, num_classes=0, strict_img_size=False).eval()
    encoder = build_encoder(EncoderConfig(name=name, taps="merged")).eval()
    tensors = {key.replace("layers.", "layers_", 1): value for key, value in stock.state_dict().items()}
    encoder.body.load_state_dict(tensors, strict=False)
    seen = []
    modules = [*(stage.downsample for stage in stock.layers[1:]), stock.layers[3]]
    for module in modules:
        module.register_forward_hook(lambda _, __, output: seen.append(output.permute(0, 3, 1, 2)))
    image = torch.randn(1, 3, *size)
    with torch.no_grad():
        levels = encoder(image)
        stock.forward_features(image)
    assert len(levels) == len(seen) == 4
    assert all(torch.equal(level, theirs) for level, theirs in zip(levels, seen, strict=True))
    assert encoder.tokens
    assert encoder.out_channels == (192, 384, 768, 768) == tuple(level.shape[1] for level in levels)
    assert encoder.reductions == (8, 16, 32, 32)
    assert [level.shape[2:] for level in levels] == [(size[0] // r, size[1] // r) for r in encoder.reductions]


@pytest.mark.parametrize(("side", "sides"), [(384, (48, 24, 12, 12)), (224, (28, 14, 7, 7)), (256, (32, 16, 8, 8))])
def test_pims_swin_has_the_stated_levels(side, sides):
    # PIM section 1, and the same network at other sizes.
    config = EncoderConfig(name="swin_large_patch4_window12_384", taps="merged")
    assert level_sizes(config, (side, side)) == tuple((s, s) for s in sides)
    with torch.device("meta"):
        assert build_encoder(config).out_channels == (384, 768, 1536, 1536)


def test_pims_swin_has_the_stated_parameters_and_drop_path():
    # PIM section 12: 195 195 444 used (neither the classifier nor the final norm); section 2: 0 to
    # 0.1, linearly.
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name="swin_large_patch4_window12_384", taps="merged"))
    assert sum(p.numel() for p in encoder.parameters()) == 195_195_444
    rates = [
        m.drop_prob for key, m in encoder.named_modules() if key.endswith("drop_path2") and hasattr(m, "drop_prob")
    ]
    assert len(rates) == 23  # of 24 blocks; the first drops nothing
    torch.testing.assert_close(torch.tensor(rates), torch.arange(1, 24) * 0.1 / 23)


def test_merged_has_no_effect_on_other_encoders():
    with torch.device("meta"):
        a, b = (build_encoder(EncoderConfig(name="test_resnet", taps=taps)) for taps in ("levels", "merged"))
        assert (a.out_channels, a.reductions, a.tokens) == (b.out_channels, b.reductions, b.tokens)
        assert [x.shape for x in a(torch.empty(1, 3, 64, 64))] == [x.shape for x in b(torch.empty(1, 3, 64, 64))]
    assert not a.tokens


@pytest.mark.parametrize(
    ("name", "channels", "patch"),
    [
        ("vit_small_patch14_dinov2", 384, 14),
        ("vit_small_patch14_reg4_dinov2", 384, 14),
        ("vit_small_patch16_dinov3", 384, 16),
        ("eva02_tiny_patch14_224", 192, 14),
        ("vit_base_patch16_siglip_224", 768, 16),
        ("vit_base_patch16_siglip_gap_256", 768, 16),
        ("deit_tiny_distilled_patch16_224", 192, 16),
    ],
)
def test_plain_transformers_return_four_maps_at_any_multiple_of_their_patch(name, channels, patch):
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name=name))
    assert (encoder.out_channels, encoder.reductions, encoder.tokens) == ((channels,) * 4, (patch,) * 4, True)
    for height, width in ((8, 8), (9, 20)):
        assert level_sizes(EncoderConfig(name=name), (height * patch, width * patch)) == ((height, width),) * 4
    assert not any("head" in key or "attn_pool" in key for key in encoder.state_dict())


def test_blocks_are_evenly_spaced_and_normalised():
    torch.manual_seed(0)
    stock = timm.create_model("vit_tiny_patch16_224", num_classes=0, dynamic_img_size=True).eval()
    torch.nn.init.normal_(stock.norm.weight)
    encoder = build_encoder(EncoderConfig(name="vit_tiny_patch16_224")).eval()
    encoder.body.model.load_state_dict(stock.state_dict())
    image = torch.randn(2, 3, 32, 64)
    outputs = []
    for index in (2, 5, 8, 11):
        stock.blocks[index].register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.no_grad():
        levels = encoder(image)
        last_BNC = stock.forward_features(image)
        for level, tokens_BNC in zip(levels, outputs, strict=True):
            # Without the class token, row-major.
            wanted = stock.norm(tokens_BNC)[:, 1:].reshape(2, 2, 4, 192).permute(0, 3, 1, 2)
            torch.testing.assert_close(level, wanted)
    torch.testing.assert_close(levels[-1].flatten(2).mean(2), last_BNC[:, 1:].mean(1))


def test_the_norm_of_an_average_pooled_transformer_is_the_one_before_its_head():
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(name="eva02_tiny_patch14_224")).eval()
    with torch.no_grad():
        level = encoder(torch.randn(1, 3, 28, 28))[-1]
    torch.testing.assert_close(level.mean(1), torch.zeros(1, 2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(level.var(1, correction=0), torch.ones(1, 2, 2), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("vit_small_patch14_dinov2", (128, 128), "128x128 pixels .* set data.size=126 or"),
        ("vit_small_patch14_dinov2", (16, 100), "16x100 pixels .* set data.size=28x98 or"),
        ("swin_tiny_patch4_window7_224", (100, 131), "set data.size=100x132 or"),
        ("beit_base_patch16_224", (128, 128), "set data.size=224 or"),
        ("maxvit_tiny_rw_224", (128, 128), "change data.size or the encoder"),
    ],
)
def test_an_unsupported_size_suggests_a_supported_one(name, size, says):
    with pytest.raises(UsageError, match=says) as info:
        level_sizes(EncoderConfig(name=name), size)
    assert "\n" not in str(info.value)
