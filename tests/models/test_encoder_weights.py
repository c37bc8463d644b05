"""Frozen encoders, and loading encoder weights."""

import copy
import pickle
import re
import time
import urllib.request

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

from venation.errors import UserError
from venation.models.build import build_network
from venation.models.encoder import build_encoder
from venation.models.encoder_weights import read_tensors
from venation.models.network_config import EncoderConfig, NetworkConfig, PluginConfig


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_only_gate_and_head_train_on_a_frozen_encoder(name):
    torch.manual_seed(0)
    config = NetworkConfig(encoder=EncoderConfig(name=name, frozen=True), num_classes=3, size=(64, 64))
    network = build_network(config).train()
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.randn(4, 3, 64, 64)).logits_BN.square().sum().backward()
    optimizer.step()
    after = network.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in after if key.startswith("encoder."))
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    assert moved == {"gate.weigh.weight", "head.weight", "head.bias"}
    assert not any(module.training for module in network.encoder.modules())
    assert all(not level.requires_grad for level in network.encoder(torch.randn(1, 3, 64, 64)))


def test_an_encoder_that_is_not_frozen_has_gradients():
    encoder = build_encoder(EncoderConfig(name="test_resnet")).train()
    assert encoder.body.training and all(level.requires_grad for level in encoder(torch.randn(2, 3, 64, 64)))


def test_a_swin_that_merges_at_the_end_of_a_stage_loads(tmp_path):
    torch.manual_seed(0)
    name = "swin_tiny_patch4_window7_224"
    model = timm.create_model(name, num_classes=5)
    old = {}
    for key, tensor in model.state_dict().items():
        moved = re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", key)
        old[moved.replace("head.fc.", "head.")] = tensor
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    path = tmp_path / "old.pth"
    torch.save({"model": old}, path)
    body = build_encoder(EncoderConfig(name=name, weights=str(path))).body
    theirs = {key.replace("layers.", "layers_", 1): value for key, value in model.state_dict().items()}
    assert all(torch.equal(value, theirs[key]) for key, value in body.state_dict().items())


def test_position_tables_of_another_grid_are_resampled(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0, img_size=64)
    path = tmp_path / "small.safetensors"
    save_file(model.state_dict(), path)
    body = build_encoder(EncoderConfig(name="test_vit", weights=str(path))).body
    side = body.model.patch_embed.grid_size
    assert side == (10, 10) and model.patch_embed.grid_size == (4, 4)
    wanted = resample_abs_pos_embed(model.pos_embed, side, num_prefix_tokens=1)
    torch.testing.assert_close(body.model.pos_embed, wanted)
    assert torch.equal(body.model.blocks[5].mlp.fc2.weight, model.blocks[5].mlp.fc2.weight)
    assert torch.equal(body.model.norm.weight, model.norm.weight)


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_224"])
def test_a_transformer_of_this_package_loads_again(tmp_path, name):
    encoder = build_encoder(EncoderConfig(name=name))
    path = tmp_path / "own.safetensors"
    save_file({f"encoder.{key}": value for key, value in encoder.state_dict().items()}, path)
    again = build_encoder(EncoderConfig(name=name, weights=str(path)))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def test_weights_of_another_transformer_are_rejected_with_both_shapes(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), path)
    with pytest.raises(UserError, match=r"needs \(\d.*\), the file has .*give the weights of this encoder") as info:
        build_encoder(EncoderConfig(name="test_vit", weights=str(path)))
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_files_of_torch_save_are_read(tmp_path, suffix):
    model = timm.create_model("test_resnet")
    path = tmp_path / f"whole{suffix}"
    torch.save({"state_dict": {f"module.{key}": value for key, value in model.state_dict().items()}, "epoch": 3}, path)
    body = build_encoder(EncoderConfig(name="test_resnet", weights=str(path))).body
    assert torch.equal(body.conv1[0].weight, model.conv1[0].weight)


def wrap(state, prefix):
    return {f"{prefix}{key}": value for key, value in state.items()}


def write_file(path, tensors):
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "backbone.", "encoder.", "module._orig_mod.model.", "_orig_mod.module."],
)
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_prefixes_of_wrappers_are_dropped_in_both_formats(tmp_path, name, prefix, suffix):
    model = timm.create_model(name)
    plain = write_file(tmp_path / "plain.safetensors", model.state_dict())
    wrapped = write_file(tmp_path / f"wrapped{suffix}", wrap(model.state_dict(), prefix))
    expected = build_encoder(EncoderConfig(name=name, weights=plain)).body.state_dict()
    found = build_encoder(EncoderConfig(name=name, weights=wrapped)).body.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)
    first = "conv1.0.weight" if name == "test_resnet" else "model.patch_embed.proj.weight"
    source = model.conv1[0] if name == "test_resnet" else model.patch_embed.proj
    assert torch.equal(found[first], source.weight)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_an_averaged_model_with_its_counter_loads(tmp_path, suffix):
    average = torch.optim.swa_utils.AveragedModel(timm.create_model("test_resnet"))
    path = write_file(tmp_path / f"average{suffix}", average.state_dict())
    body = build_encoder(EncoderConfig(name="test_resnet", weights=path)).body
    assert "n_averaged" in average.state_dict()
    assert torch.equal(body.conv1[0].weight, average.module.conv1[0].weight)


def test_a_backbone_beside_a_head_of_the_same_name_loads(tmp_path):
    model = timm.create_model("test_resnet", num_classes=5)
    tensors = wrap(model.state_dict(), "backbone.") | {"fc.weight": torch.zeros(7, 3), "neck.weight": torch.zeros(3)}
    path = write_file(tmp_path / "detector.safetensors", tensors)
    body = build_encoder(EncoderConfig(name="test_resnet", weights=path)).body
    assert torch.equal(body.conv1[0].weight, model.conv1[0].weight)


def test_names_without_a_prefix_take_precedence(tmp_path):
    one, other = timm.create_model("test_resnet"), timm.create_model("test_resnet")
    path = write_file(tmp_path / "both.safetensors", wrap(other.state_dict(), "model.") | one.state_dict())
    body = build_encoder(EncoderConfig(name="test_resnet", weights=path)).body
    assert torch.equal(body.conv1[0].weight, one.conv1[0].weight)


def test_two_networks_under_two_prefixes_are_ambiguous(tmp_path):
    one, other = timm.create_model("test_resnet").state_dict(), timm.create_model("test_resnet").state_dict()
    path = write_file(tmp_path / "two.safetensors", wrap(one, "model.") | wrap(other, "backbone."))
    both = r"the file has backbone\.conv1\.0\.weight and model\.conv1\.0\.weight: give the weights"
    with pytest.raises(UserError, match=rf"does not fit: conv1\.0\.weight needs \(16, 3, 3, 3\), {both}"):
        build_encoder(EncoderConfig(name="test_resnet", weights=path))


def test_wrapped_weights_of_an_older_release_are_converted(tmp_path):
    model = timm.create_model("test_vit", num_classes=0, img_size=64)
    path = write_file(tmp_path / "small.safetensors", wrap(model.state_dict(), "backbone."))
    body = build_encoder(EncoderConfig(name="test_vit", weights=path)).body
    wanted = resample_abs_pos_embed(model.pos_embed, body.model.patch_embed.grid_size, num_prefix_tokens=1)
    torch.testing.assert_close(body.model.pos_embed, wanted)


@pytest.mark.parametrize("prefix", ["", "model.", "module.backbone."])
def test_a_part_that_is_called_body_is_no_wrapper(tmp_path, prefix):
    model = timm.create_model("tresnet_m")
    path = write_file(tmp_path / "tresnet.safetensors", wrap(model.state_dict(), prefix))
    body = build_encoder(EncoderConfig(name="tresnet_m", weights=path)).body
    assert torch.equal(body.state_dict()["body_conv1.conv.weight"], model.body.conv1.conv.weight)


def test_a_deeper_encoder_under_a_prefix_is_rejected(tmp_path):
    path = write_file(tmp_path / "deep.safetensors", wrap(timm.create_model("resnet34").state_dict(), "module."))
    with pytest.raises(UserError, match="resnet18 has no block of layer"):
        build_encoder(EncoderConfig(name="resnet18", weights=path))


class MaliciousPickle:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_rejected_and_not_executed(tmp_path, zipped):
    marker, path = tmp_path / "was-here", tmp_path / "weights.pth"
    content = {"model": {"a": torch.zeros(1)}, "epoch": MaliciousPickle(marker)}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content["epoch"]))
    with pytest.raises(UserError, match="contains more than tensors") as info:
        build_encoder(EncoderConfig(name="test_resnet", weights=str(path)))
    assert not marker.exists() and "\n" not in str(info.value)


def test_a_truncated_torch_file_is_a_one_line_error(tmp_path):
    whole, torn = tmp_path / "whole.pt", tmp_path / "torn.pt"
    torch.save({"a": torch.zeros(1000)}, whole)
    torn.write_bytes(whole.read_bytes()[:1500])
    for path in (torn, tmp_path / "absent.pt", tmp_path):
        with pytest.raises(UserError, match="give another|safetensors") as info:
            read_tensors(path)
        assert "\n" not in str(info.value)


def test_without_a_connection_pretrained_fails_at_once_and_suggests_a_file(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError(113, "No route to host")

    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    offline = constants.HF_HUB_OFFLINE
    with pytest.raises(UserError, match=r"No route to host\): give a file with encoder\.weights=FILE") as info:
        build_encoder(EncoderConfig(name="test_resnet", weights="pretrained"))
    assert "\n" not in str(info.value)
    assert waits == [] and offline == constants.HF_HUB_OFFLINE


def test_the_release_of_dinov2_with_registers_loads(tmp_path):
    # The release's file has a mask token, other names for the registers, and a position for the
    # class token that is added there.
    torch.manual_seed(0)
    name = "vit_small_patch14_reg4_dinov2"
    model = timm.create_model(name, num_classes=0)
    theirs = dict(model.state_dict())
    theirs["register_tokens"], theirs["mask_token"] = theirs.pop("reg_token"), torch.zeros(1, 384)
    class_position = torch.randn(1, 1, 384)
    theirs["pos_embed"] = torch.cat((class_position, theirs["pos_embed"]), dim=1)
    path = tmp_path / "dinov2.pth"
    torch.save(theirs, path)
    body = build_encoder(EncoderConfig(name=name, weights=str(path))).body
    wanted = model.state_dict() | {"cls_token": model.cls_token + class_position}
    found = {key.removeprefix("model."): value for key, value in body.state_dict().items()}
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_a_plugin_module_trains_on_a_frozen_plain_transformer():
    torch.manual_seed(0)
    config = NetworkConfig(
        encoder=EncoderConfig(name="test_vit", frozen=True),
        plugin=PluginConfig(width=16, keep=(0.5, 0.5, 0.5, 0.5), joint=4),
        num_classes=3,
        size=(32, 64),
    )
    network = build_network(config).train()
    network(torch.randn(4, 3, 32, 64)).logits_BN.sum().backward()
    moving = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert moving == {"gate", "plugin"}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_a_first_layer_for_rgb_is_repeated_over_other_channels(tmp_path, name):
    """Six channels of an RGB image twice over give the features of the image itself."""
    torch.manual_seed(0)
    save_file(timm.create_model(name).state_dict(), tmp_path / "rgb.safetensors")
    config = EncoderConfig(name=name, weights=str(tmp_path / "rgb.safetensors"))
    three, six = build_encoder(config).eval(), build_encoder(config, 6).eval()
    assert (three.channels, six.channels) == (3, 6)
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for mine, theirs in zip(six(torch.cat([image, image], dim=1)), three(image), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_first_layers_of_four_and_two_channels_keep_the_scale(tmp_path):
    """Their inputs' sum has the scale that it has for RGB: each weight is 3 / channels of RGB's."""
    torch.manual_seed(0)
    whole = timm.create_model("test_resnet").state_dict()
    save_file(whole, tmp_path / "rgb.safetensors")
    config = EncoderConfig(name="test_resnet", weights=str(tmp_path / "rgb.safetensors"))
    for channels, order in ((4, [0, 1, 2, 0]), (2, [0, 1])):
        found = build_encoder(config, channels).state_dict()["body.conv1.0.weight"]
        torch.testing.assert_close(found, whole["conv1.0.weight"][:, order] * 3 / channels)


def test_weights_of_other_channels_than_three_fit_that_number_only(tmp_path):
    path = tmp_path / "five.safetensors"
    whole = timm.create_model("test_resnet", in_chans=5).state_dict()
    save_file(whole, path)
    config = EncoderConfig(name="test_resnet", weights=str(path))
    assert torch.equal(build_encoder(config, 5).state_dict()["body.conv1.0.weight"], whole["conv1.0.weight"])
    with pytest.raises(UserError, match=r"conv1.0.weight needs \(16, 4, 3, 3\), the file has \(16, 5, 3, 3\)"):
        build_encoder(config, 4)
