import pytest
import torch
from torchvision.models import get_model_weights

from venation.errors import UsageError
from venation.models.build import build_network
from venation.models.cost import cost, takes_size
from venation.models.decoders import MNSADecoder
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig, PluginConfig, WidthsConfig

NAMES = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")
# MNSA with densenet161 and 200 classes: widths -> all parameters at t = 0, 1/8, 1/4, 1/2.
MNSA_TOTALS = {
    (1 / 16,) * 5: (346_800_724, 349_211_345, 351_663_283, 356_579_285),
    (1 / 8,) * 5: (411_920_548, 417_027_157, 422_189_669, 432_493_379),
    (1 / 4,) * 5: (542_160_196, 553_410_437, 564_698_747, 587_275_367),
    (1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16): (417_591_148, 422_697_757, 427_860_269, 438_163_979),
    (1 / 8, 1 / 16, 1 / 4, 1 / 4, 1 / 8): (438_263_116, 445_106_669, 451_995_427, 465_785_117),
    (1 / 16, 1 / 4, 1 / 16, 1 / 8, 1 / 4): (445_027_204, 451_292_297, 457_592_675, 470_193_431),
    (1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8): (436_203_796, 442_468_889, 448_769_267, 461_370_023),
}


def _config(encoder, decoder=None, *, num_classes=200, size=64, **options):
    return NetworkConfig(
        encoder=EncoderConfig(name=encoder, **options),
        decoder=decoder or DecoderConfig(),
        num_classes=num_classes,
        size=(size, size),
    )


# The papers' mobilenet_v2 ends in 1280 channels and timm's in 320, so it has no row here.
# mobilenet_v3_large agrees.
@pytest.mark.parametrize(
    ("encoder", "classifier", "with_unet"),
    [
        ("densenet161", 26_913_802, 237_020_949),
        ("resnet50", 23_917_834, 124_046_933),
        ("resnet34", 21_387_274, 27_840_725),
        ("mobilenetv3_large_100", 3_164_154, 13_641_973),
    ],
)
def test_xmnet_parameters(encoder, classifier, with_unet):
    found = cost(_config(encoder, DecoderConfig(kind="unet", gate_from=1), size=64))
    assert (found.parameters, found.parameters - found.trainable) == (with_unet, classifier)


# The reference's totals count a 3x3 convolution of the deepest level, C channels to C, whose output
# is unused.
@pytest.mark.parametrize(
    ("encoder", "deepest", "total"),
    [
        ("densenet161", 2208, 83_695_681),
        ("resnet50", 2048, 70_718_625),
        ("resnet34", 512, 26_161_569),
        ("mobilenetv3_large_100", 960, 14_141_265),
    ],
)
def test_xmnet_parameters_with_its_unet3p(encoder, deepest, total):
    found = cost(_config(encoder, DecoderConfig(kind="unet3p_ref", gate_from=1), size=64))
    assert found.parameters == total - (9 * deepest * deepest + deepest)


@pytest.fixture(scope="module")
def total_with():
    """Total of densenet161 with a decoder, with the encoder built once.

    Building 28 whole networks would take most of a minute.
    """
    with torch.device("meta"):
        base = build_network(_config("densenet161"))

    def total(decoder):
        with torch.device("meta"):
            parts = (base, MNSADecoder(base.encoder.out_channels, decoder))
        return sum(p.numel() for part in parts for p in part.parameters())

    return total


@pytest.mark.parametrize("widths", MNSA_TOTALS, ids=str)
def test_mnsa_parameters(widths, total_with):
    for transfer, total in zip((0, 0.125, 0.25, 0.5), MNSA_TOTALS[widths], strict=True):
        branches = WidthsConfig(**dict(zip(NAMES, widths, strict=True)))
        assert total_with(DecoderConfig(kind="mnsa", widths=branches, transfer=transfer)) == total


def test_mnsa_cost_at_the_papers_size():
    """The papers count 477.7 GFLOP without the deformable mixing and with two encoder passes.

    An encoder pass takes 61.8 GFLOP and the mixing 63.5 GFLOP.
    """
    widths = WidthsConfig(**dict(zip(NAMES, (1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16), strict=True)))
    found = cost(_config("densenet161", DecoderConfig(kind="mnsa", widths=widths), size=448))
    assert (found.parameters, found.parameters - found.trainable) == (427_860_269, 26_913_802)
    assert found.macs * 2 / 1e9 == pytest.approx(477.7 - 61.8 + 63.5, abs=0.15)


def test_partly_frozen_densenet():
    found = cost(_config("densenet161", frozen_children=8, size=64))
    assert (found.parameters, found.trainable) == (26_913_802, 23_715_658)


def test_macs_agree_with_torchvision():
    published = get_model_weights("resnet18").DEFAULT.meta["_ops"]
    assert cost(_config("resnet18", num_classes=1000, size=224)).macs / 1e9 == pytest.approx(published, abs=0.001)


def test_cost_reads_no_weights():
    assert cost(_config("test_resnet", weights="/nowhere/at/all.safetensors", size=64)).parameters > 0


def test_an_unsupported_image_size_is_a_one_line_error():
    with pytest.raises(UsageError, match="densenet121 does not take images of 16x16 pixels"):
        cost(_config("densenet121", size=16))


@pytest.mark.parametrize(
    ("encoder", "plugin", "size", "taken"),
    [
        ("test_resnet", PluginConfig(), (96, 64), True),
        ("test_resnet", PluginConfig(width=8, keep=(0.5, 0.5), joint=2), (96, 96), False),
        ("test_resnet", PluginConfig(width=8, keep=(0.5, 0.5), joint=2, ranks="mean"), (96, 96), True),
        ("test_vit", PluginConfig(), (20, 20), False),
    ],
    ids=str,
)
def test_a_network_is_asked_whether_it_takes_another_size(encoder, plugin, size, taken):
    config = NetworkConfig(encoder=EncoderConfig(name=encoder), plugin=plugin, num_classes=3, size=(64, 64))
    assert takes_size(config, size) == taken


def test_channels_are_paid_in_the_first_layer_and_in_the_last_step():
    """The first convolution of test_resnet has 16 filters of 3 x 3, that of the last step 8."""
    decoder = DecoderConfig(kind="unet", detail=8)
    three = NetworkConfig(encoder=EncoderConfig(name="test_resnet"), decoder=decoder, num_classes=3, size=(64, 64))
    more = cost(three.model_copy(update={"channels": 5})).parameters - cost(three).parameters
    assert more == 2 * 9 * (16 + 8)
    assert takes_size(three.model_copy(update={"channels": 5}), (32, 32))
