"""The library's decoders on this package's levels, against the library's own models."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

from venation.errors import UsageError
from venation.models.network_config import DecoderConfig
from venation.models.smp_decoders import SMPDecoder

ARCHITECTURES = {
    "smp_unet": "unet",
    "unetplusplus": "unetplusplus",
    "manet": "manet",
    "deeplabv3plus": "deeplabv3plus",
    "fpn": "fpn",
    "upernet": "upernet",
    "segformer": "segformer",
}
RESNET18 = (64, 64, 128, 256, 512)
SMALL = (32, 32, 48, 64, 64)
# The library's DeepLabV3+ dilates its encoder, so there the levels differ.
SAME_LEVELS = [kind for kind in ARCHITECTURES if kind != "deeplabv3plus"]


def _model(kind):
    return smp.create_model(ARCHITECTURES[kind], "resnet18", encoder_weights=None)


def _levels(channels=SMALL, size=(32, 32)):
    return [torch.randn(2, c, size[0] >> n, size[1] >> n) for n, c in enumerate(channels)]


def _count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_parameters_equal_the_librarys_model(kind):
    with torch.device("meta"):
        model = _model(kind)
        decoder = SMPDecoder(RESNET18, DecoderConfig(kind=kind))
    assert _count(decoder) == _count(model.decoder, model.segmentation_head)


@pytest.mark.parametrize("kind", SAME_LEVELS)
def test_four_levels_are_treated_as_the_library_treats_its_transformers(kind):
    with torch.device("meta"):
        model = smp.create_model(ARCHITECTURES[kind], "tu-test_convnext", encoder_weights=None)
        decoder = SMPDecoder(model.encoder.out_channels[2:], DecoderConfig(kind=kind))
    assert model.encoder.out_channels[:2] == [3, 0]
    assert _count(decoder) == _count(model.decoder, model.segmentation_head)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_initial_weights_equal_the_librarys(kind):
    torch.manual_seed(0)
    model = _model(kind)
    decoder = SMPDecoder(RESNET18, DecoderConfig(kind=kind))
    ours = [*decoder.decoder.parameters(), *decoder.head.parameters()]
    theirs = [*model.decoder.parameters(), *model.segmentation_head.parameters()]
    for mine, its in zip(ours, theirs, strict=True):
        if mine.numel() > 10_000:
            assert mine.std().item() == pytest.approx(its.std().item(), rel=0.05)
        elif its.ndim == 1 and its.numel() > 1 and its.unique().numel() == 1:
            assert torch.equal(mine, its)  # biases and norms that start constant


@pytest.mark.parametrize("kind", SAME_LEVELS)
def test_logits_equal_the_librarys_model(kind):
    torch.manual_seed(0)
    model = _model(kind).eval()
    decoder = SMPDecoder(RESNET18, DecoderConfig(kind=kind)).eval()
    decoder.decoder.load_state_dict(model.decoder.state_dict())
    decoder.head.load_state_dict(model.segmentation_head.state_dict())
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        levels = model.encoder(image)[1:]
        kept = [level.clone() for level in levels]
        torch.testing.assert_close(decoder(levels)[0], model(image))
    assert all(torch.equal(level, copy) for level, copy in zip(levels, kept, strict=True))


def test_deeplab_has_the_receptive_field_of_a_dilated_encoder():
    """Half the library's rates at half its resolution; the decoder joins the level at a quarter."""
    with torch.device("meta"):
        ours, theirs = SMPDecoder(RESNET18, DecoderConfig(kind="deeplabv3plus")), _model("deeplabv3plus")

    def rates(decoder):
        return [m.dilation[0] for m in decoder.aspp[0].modules() if isinstance(m, nn.Conv2d) and m.dilation[0] > 1]

    assert [2 * rate for rate in rates(ours.decoder)] == rates(theirs.decoder) == [12, 24, 36]
    assert (ours.decoder.up.scale_factor, theirs.decoder.up.scale_factor) == (8, 4)


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize(("channels", "factor"), [(SMALL, 2), (SMALL[1:], 4)])
def test_four_and_five_levels_give_logits_of_the_images_size(kind, channels, factor):
    decoder = SMPDecoder(channels, DecoderConfig(kind=kind)).eval()
    assert decoder(_levels(channels))[0].shape == (2, 1, 32 * factor, 32 * factor)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_odd_levels_are_extended_by_their_last_row_and_column(kind):
    """The result equals that of an image extended to the next multiple of 32, then cropped."""
    torch.manual_seed(0)
    sizes = [(19, 25), (10, 13), (5, 7), (3, 4), (2, 2)]
    decoder = SMPDecoder(SMALL, DecoderConfig(kind=kind)).eval()
    levels = [torch.randn(1, c, *size) for c, size in zip(SMALL, sizes, strict=True)]
    rows = [torch.arange(32 >> n).clamp(max=size[0] - 1) for n, size in enumerate(sizes)]
    columns = [torch.arange(32 >> n).clamp(max=size[1] - 1) for n, size in enumerate(sizes)]
    extended = [level[:, :, row][:, :, :, column] for level, row, column in zip(levels, rows, columns, strict=True)]
    with torch.no_grad():
        logits, whole = decoder(levels)[0], decoder(extended)[0]
    assert (logits.shape, whole.shape) == ((1, 1, 38, 50), (1, 1, 64, 64))
    torch.testing.assert_close(logits, whole[..., :38, :50])


@pytest.mark.parametrize(("kind", "projected"), [("smp_unet", 5), ("fpn", 4), ("upernet", 4), ("deeplabv3plus", 2)])
def test_only_levels_that_are_read_are_projected(kind, projected):
    decoder = SMPDecoder(SMALL, DecoderConfig(kind=kind, channels=16)).eval()
    assert decoder.project.out_channels == (16,) * projected
    assert decoder(_levels())[0].shape == (2, 1, 64, 64)


@pytest.mark.parametrize("count", [3, 6])
def test_another_number_of_levels_is_rejected(count):
    with pytest.raises(UsageError, match=f"decoder.kind=fpn needs 4 or 5 encoder levels, got {count}: choose another"):
        SMPDecoder((8,) * count, DecoderConfig(kind="fpn"))


def test_levels_that_do_not_halve_are_rejected():
    """Swin's levels after their merging are an example: the last two have one size."""
    levels = [torch.randn(1, c, size, size) for c, size in zip(SMALL, (28, 14, 7, 7), strict=False)]
    decoder = SMPDecoder(SMALL[:4], DecoderConfig(kind="fpn")).eval()
    with pytest.raises(UsageError, match="decoder.kind=fpn needs encoder levels that halve .* 28x28, 14x14, 7x7, 7x7"):
        decoder(levels)


def test_deep_supervision_is_rejected():
    with pytest.raises(UsageError, match="supervise=true is not possible with decoder.kind=manet: choose unet, unet3p"):
        SMPDecoder(SMALL, DecoderConfig(kind="manet", supervise=True))


@pytest.mark.parametrize("kind", ["deeplabv3plus", "upernet"])
def test_training_on_one_image_is_rejected_with_batch_norm_over_the_batch(kind):
    decoder = SMPDecoder(SMALL, DecoderConfig(kind=kind))
    levels = [level[:1] for level in _levels()]
    with pytest.raises(UsageError, match=f"decoder.kind={kind} cannot train on one image"):
        decoder(levels)
    assert decoder.eval()(levels)[0].shape == (1, 1, 64, 64)
