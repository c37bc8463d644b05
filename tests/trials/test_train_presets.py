"""The recipes of all five systems train and resume bit for bit, on a CNN and a transformer."""

from pathlib import Path

import pytest
import torch

from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Sample
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.spaces.fields import set_fields
from venation.spaces.presets import recipe
from venation.trials.auto_fields import resolve_auto
from venation.trials.train import fit
from venation.trials.trial_config import TrialConfig

CLASSES = ("level", "slant", "upright")
SMALL = {"encoder.weights": "none", "encoder.frozen_children": 0, "train.epochs": 2, "train.batch_size": 4}
Parts = tuple[list[Sample], list[Sample]]


def small_recipe(preset: str, encoder: str, size: str) -> TrialConfig:
    settings = SMALL | {"encoder.name": encoder, "data.size": size}
    return resolve_auto(set_fields(recipe(preset, "classifier").config, settings))


def build(config: TrialConfig) -> MultitaskNetwork:
    torch.manual_seed(0)
    return build_network(config.network(len(CLASSES)))


def train(network: MultitaskNetwork, config: TrialConfig, parts: Parts, checkpoint: Path, *, epochs: int) -> int:
    """Train for at most ``epochs`` epochs and return their number."""
    loaders = [
        make_loader(LeafDataset(samples, CLASSES, config.data, train=train), batch_size=4, train=train, seed=0)
        for samples, train in zip(parts, (True, False), strict=True)
    ]
    options = {"task": "classify", "device": torch.device("cpu"), "monitor": "logloss", "checkpoint": checkpoint}
    seen = 0
    for result in fit(network, *loaders, config.train, **options):
        assert all(value == value for value in result.losses.values())
        seen += 1
        if seen == epochs:
            break
    return seen


@pytest.mark.parametrize("size", ["64", "48x80"])
@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("preset", ["default", "mganet", "xmnet", "mnsa", "pim", "herbs", "frozen"])
def test_a_recipe_resumes_bit_for_bit(preset: str, encoder: str, size: str, parts: Parts, tmp_path: Path) -> None:
    config = small_recipe(preset, encoder, size)
    if config.plugin.width:
        config = set_fields(config, {"plugin.width": 16, "plugin.joint": 4})
    few = (parts[0][::2], parts[1][::2])
    whole, halved = build(config), build(config)
    # A complete fit restores the best epoch's weights. An interrupted one keeps those of the last
    # epoch, which are compared.
    assert train(whole, config, few, tmp_path / "whole", epochs=2) == 2
    assert train(halved, config, few, tmp_path / "halved", epochs=1) == 1
    resumed = build(config)
    assert train(resumed, config, few, tmp_path / "halved", epochs=1) == 1
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


@pytest.mark.parametrize("size", ["224", "128x192"])
@pytest.mark.parametrize("encoder", ["swin_tiny_patch4_window7_224", "resnet18"])
@pytest.mark.parametrize("preset", ["pim", "herbs"])
def test_plugins_train_on_a_swin_and_on_a_resnet(
    preset: str, encoder: str, size: str, parts: Parts, tmp_path: Path
) -> None:
    config = small_recipe(preset, encoder, size)
    config = set_fields(config, {"plugin.width": 32, "train.epochs": 1})
    network = build(config)
    before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
    assert train(network, config, (parts[0][::5], parts[1][::5]), tmp_path / "checkpoint", epochs=1) == 1
    still = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    # While alpha is zero only weight decay changes q and k (PIM section 6); timm initialises
    # residual branches with zero.
    assert not [name for name in still if not name.startswith(("plugin.combiner.", "encoder.body.layer"))]
