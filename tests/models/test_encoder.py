import copy

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from venation.errors import UsageError, UserError
from venation.models.encoder import build_encoder
from venation.models.network_config import EncoderConfig


@pytest.mark.parametrize(
    ("name", "channels", "reductions"),
    [
        ("densenet161", (96, 384, 768, 2112, 2208), (2, 4, 8, 16, 32)),
        ("densenet121", (64, 256, 512, 1024, 1024), (2, 4, 8, 16, 32)),
        ("resnet50", (64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32)),
        ("mobilenetv3_large_100", (16, 24, 40, 112, 960), (2, 4, 8, 16, 32)),
        ("mobilenetv2_100", (16, 24, 32, 96, 320), (2, 4, 8, 16, 32)),
        ("vgg19", (64, 128, 256, 512, 512, 512), (1, 2, 4, 8, 16, 32)),
        ("tf_efficientnet_b7", (32, 48, 80, 224, 640), (2, 4, 8, 16, 32)),
        ("swin_tiny_patch4_window7_224", (96, 192, 384, 768), (4, 8, 16, 32)),
        ("test_convnext", (24, 32, 48, 64), (4, 8, 16, 32)),
        ("test_vit", (64,) * 4, (16,) * 4),
    ],
)
def test_levels_have_the_stated_channels_and_reductions(name, channels, reductions):
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name=name)).eval()
        levels = encoder(torch.empty(2, 3, 96, 64))
    assert (encoder.out_channels, encoder.reductions) == (channels, reductions)
    assert [tuple(level.shape) for level in levels] == [
        (2, c, 96 // r, 64 // r) for c, r in zip(channels, reductions, strict=True)
    ]


def test_mobilenet_v2_lacks_the_last_layer_of_torchvisions():
    with torch.device("meta"):
        theirs = torchvision.models.mobilenet_v2().features
        ours = build_encoder(EncoderConfig(name="mobilenetv2_100")).body
    counts = [sum(parameter.numel() for parameter in module.parameters()) for module in (theirs, theirs[-1], ours)]
    assert counts == [2_223_872, 412_160, 1_811_712]


def test_inception_v3_has_five_levels_and_no_auxiliary_head():
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name="inception_v3"))
    assert encoder.out_channels == (64, 192, 288, 768, 2048)
    assert not [name for name, _ in encoder.named_modules() if "AuxLogits" in name]


def test_only_densenet_stops_before_its_last_relu():
    densenet = build_encoder(EncoderConfig(name="densenet121")).eval()
    reference = timm.create_model("densenet121", features_only=True).eval()
    reference.load_state_dict(densenet.body.state_dict())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mine, theirs = densenet(image)[-1], reference(image)[-1]
    assert densenet.final_relu and mine.min() < 0
    torch.testing.assert_close(mine.relu(), theirs)
    assert not build_encoder(EncoderConfig(name="test_resnet")).final_relu


@pytest.mark.parametrize(("name", "count"), [("resnet18", 6), ("densenet121", 8)])
def test_frozen_children_are_counted_as_in_torchvision(name, count):
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name=name, frozen_children=count))
    trained = {key.split(".")[1] for key, p in encoder.named_parameters() if p.requires_grad}
    expected = {
        "resnet18": {"layer3", "layer4"},
        "densenet121": {"features_denseblock3", "features_transition3", "features_denseblock4", "features_norm5"},
    }
    assert trained == expected[name]


def test_stages_of_a_mobile_net_count_block_by_block():
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name="mobilenetv3_large_100", frozen_children=5))
    # Stem convolution, norm, activation, then one block of each of the first two stages.
    first_trained = next(key for key, p in encoder.named_parameters() if p.requires_grad)
    assert first_trained.startswith("body.blocks.1.1.")


@pytest.mark.parametrize("still", [True, False])
def test_batch_norm_of_frozen_children_stays_in_eval_mode_if_configured(still):
    config = EncoderConfig(name="test_resnet", frozen_children=5, frozen_bn_eval=still)
    encoder = build_encoder(config).train()
    before = copy.deepcopy(encoder.state_dict())
    encoder(torch.randn(4, 3, 64, 64))
    moved = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert any(key.startswith("body.layer4.") for key in moved)
    assert any(key.startswith(("body.bn1.", "body.layer1.")) for key in moved) is not still


def test_too_many_frozen_children_are_rejected():
    with pytest.raises(UsageError, match=r"frozen_children=30, but there are 8 children"):
        build_encoder(EncoderConfig(name="resnet18", frozen_children=30))


def test_an_unknown_name_suggests_similar_ones():
    with pytest.raises(UsageError, match=r"'resnet181'.*resnet18"):
        build_encoder(EncoderConfig(name="resnet181"))


def test_name_with_timm_tag_is_known():
    assert build_encoder(EncoderConfig(name="test_resnet.r160_in1k")).out_channels[-1] == 96


def test_a_missing_connection_is_a_one_line_error(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host\nsecond line")

    monkeypatch.setattr("timm.models._builder.load_pretrained", refuse)
    with pytest.raises(UserError, match=r"encoder\.weights=none") as info:
        build_encoder(EncoderConfig(name="test_resnet", weights="pretrained"))
    assert "\n" not in str(info.value) and "no route to host" in str(info.value)


@pytest.mark.parametrize("name", ["test_resnet", "densenet121", "test_efficientnet"])
def test_weights_of_a_whole_timm_model_load(tmp_path, name):
    model = timm.create_model(name, num_classes=5)
    path = tmp_path / "whole.safetensors"
    save_file(model.state_dict(), path)
    encoder = build_encoder(EncoderConfig(name=name, weights=str(path)))
    theirs = {key.replace(".", "_"): value for key, value in model.state_dict().items()}
    for key, value in encoder.body.state_dict().items():
        assert torch.equal(value, theirs[key.replace(".", "_")]), key


def test_weights_of_a_whole_network_load(tmp_path):
    encoder = build_encoder(EncoderConfig(name="test_resnet"))
    path = tmp_path / "own.safetensors"
    tensors = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    save_file({**tensors, "head.weight": torch.zeros(2, 96)}, path)
    again = build_encoder(EncoderConfig(name="test_resnet", weights=str(path)))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def _edited(tmp_path, **changes):
    tensors = dict(build_encoder(EncoderConfig(name="test_resnet")).body.state_dict())
    for key, value in changes.items():
        if value is None:
            del tensors[key.replace("__", ".")]
        else:
            tensors[key.replace("__", ".")] = value
    path = tmp_path / "edited.safetensors"
    save_file(tensors, path)
    return EncoderConfig(name="test_resnet", weights=str(path))


def test_a_missing_tensor_is_named(tmp_path):
    with pytest.raises(UserError, match=r"bn1\.weight needs \(32,\), the file has nothing"):
        build_encoder(_edited(tmp_path, bn1__weight=None))


def test_a_wrong_shape_is_named_with_both(tmp_path):
    with pytest.raises(UserError, match=r"bn1\.bias needs \(32,\), the file has \(7,\)"):
        build_encoder(_edited(tmp_path, bn1__bias=torch.zeros(7)))


def test_num_batches_tracked_may_be_missing(tmp_path):
    assert isinstance(build_encoder(_edited(tmp_path, bn1__num_batches_tracked=None)), nn.Module)


def test_an_unreadable_file_is_rejected(tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_text("no tensors")
    for name in (path, tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(UserError, match="not a readable safetensors file"):
            build_encoder(EncoderConfig(weights=str(name)))
