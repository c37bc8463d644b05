"""Parameters, positions and multiply-accumulates of PIM and HERBS against the papers' figures.

No weights are allocated.
"""

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from venation.models.network_config import PluginConfig
from venation.models.plugin import PluginModule

CHANNELS = (384, 768, 1536, 1536)
SIZES = ((48, 48), (24, 24), (12, 12), (12, 12))
PIM = PluginConfig(width=1536)
HERBS = PluginConfig(
    width=1536, keep=(1 / 9, 2 / 9, 4 / 9, 2 / 9), bottom_up=True, rule="image", joint=64, pass_equal=False
)
# Of Swin-L at 384 pixels, PIM section 12: as used, and with the unused final norm and 21 841-way
# head.
SWIN, SWIN_WITH_UNUSED = 195_195_444, 228_768_133


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def _module(config, *, num_classes=200, channels=CHANNELS, sizes=SIZES, tokens=True):
    with torch.device("meta"):
        return PluginModule(channels, sizes, config, num_classes=num_classes, tokens=tokens).eval()


def _forward(module):
    with torch.device("meta"), torch.no_grad():
        return module([torch.empty(1, c, *size) for c, size in zip(CHANNELS, SIZES, strict=True)])


def test_pim_has_the_parameters_of_the_reference():
    module = _module(PIM)
    assert _count(module.top_down) == 13_367_232
    assert [_count(head) for head in module.heads] == [2_671_304] * 4
    assert _count(module.combiner) == 4_090_317
    assert SWIN + _count(module) == 223_338_209
    assert SWIN_WITH_UNUSED + _count(module) == 256_910_898
    assert SWIN_WITH_UNUSED + _count(_module(PIM, num_classes=555)) == 259_639_073


def test_herbs_has_the_parameters_of_the_reference():
    module = _module(HERBS)
    assert _count(module.top_down) == 13_388_112
    assert _count(module.bottom_up) == 20_318_304
    assert [_count(head) for head in (*module.first_heads, *module.heads)] == [2_671_304] * 8
    assert _count(module.combiner) == 3_855_145
    assert SWIN + _count(module) == 254_127_437
    assert SWIN_WITH_UNUSED + _count(module) == 287_700_126
    assert SWIN_WITH_UNUSED + _count(_module(HERBS, num_classes=555)) == 292_610_841


@pytest.mark.parametrize(
    ("config", "kept", "nodes"),
    [(PIM, [2048, 512, 128, 32], 85), (HERBS, [256, 128, 64, 32], 7)],
    ids=["pim", "herbs"],
)
def test_shares_give_the_positions_of_the_reference(config, kept, nodes):
    module = _module(config)
    output = _forward(module)
    assert [level.shape[1] for level in output.kept] == kept
    assert [level.shape[1] for level in output.dropped_logits] == [
        h * w - count for (h, w), count in zip(SIZES, kept, strict=True)
    ]
    assert module.combiner.nodes == nodes
    whole = _module(config.model_copy(update={"keep": tuple(kept)}))
    assert [level.shape[1] for level in _forward(whole).kept] == kept


def test_nabirds_positions_have_fifteen_nodes():
    assert _module(PIM.model_copy(update={"keep": (256, 128, 64, 32)})).combiner.nodes == 15


@pytest.mark.parametrize(("config", "expected"), [(PIM, 15.4), (HERBS, 40.3)], ids=["pim", "herbs"])
def test_multiply_accumulates_are_those_of_the_spec(config, expected):
    counter = FlopCounterMode(display=False)
    with counter:
        _forward(_module(config))
    giga_macs = counter.get_total_flops() / 2e9
    assert giga_macs == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("encoder", "unused", "channels", "sizes", "total"),
    [
        # The reference cuts each network off at its last tap, so heads and last norms do not count
        # (PIM section 12).
        ("resnet50", ("fc",), (256, 512, 1024, 2048), ((112,) * 2, (56,) * 2, (28,) * 2, (14,) * 2), 33_013_826),
        ("vit_base_patch16_224_miil", ("norm", "head"), (768,) * 4, ((1, 785),) * 4, 92_121_602),
        (
            "tf_efficientnet_b7",
            ("conv_head", "bn2", "classifier"),
            (160, 224, 384, 640),
            ((28,) * 2, (28,) * 2, (14,) * 2, (14,) * 2),
            65_463_890,
        ),
    ],
    ids=["resnet50", "vit", "efficientnet"],
)
def test_other_encoders_have_the_parameters_of_the_reference(encoder, unused, channels, sizes, total):
    options = {"img_size": 448} if encoder.startswith("vit") else {}
    with torch.device("meta"):
        body = timm.create_model(encoder, **options)
    used = sum(p.numel() for name, p in body.named_parameters() if name.split(".")[0] not in unused)
    config = PluginConfig(width=512, keep=(32,) * 4)
    module = _module(config, channels=channels, sizes=sizes, tokens=encoder.startswith("vit"))
    assert used + _count(module) == total
