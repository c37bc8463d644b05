"""Learning rates by stage: the factors, and one step of SGD by hand."""

from collections.abc import Callable

import pytest
import torch

from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import EncoderConfig, NetworkConfig
from venation.trials.optimise import build_optimizer, set_learning_rate
from venation.trials.parameter_groups import lr_factors, parameter_groups
from venation.trials.trial_config import TrainConfig

CPU = torch.device("cpu")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_defaults_have_the_groups_of_a_plain_optimiser(
    make_network: Callable[..., MultitaskNetwork], optimizer: str
) -> None:
    network = make_network()
    groups = parameter_groups(network, TrainConfig(optimizer=optimizer, weight_decay=0.1))
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1 or optimizer == "sgd"]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1 and optimizer == "adamw"]
    expected = [(0.1, matrices)] + ([(0.0, vectors)] if vectors else [])
    assert [group["weight_decay"] for group in groups] == [decay for decay, _ in expected]
    for group, (_, parameters) in zip(groups, expected, strict=True):
        assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in parameters]


def test_factors_fall_from_the_head_to_the_stem(make_network: Callable[..., MultitaskNetwork]) -> None:
    factors = lr_factors(make_network(), TrainConfig(encoder_lr=0.5, layer_decay=0.8))
    expected = {"conv1": 0.8**5, "bn1": 0.8**5, "layer1": 0.8**4, "layer2": 0.8**3, "layer3": 0.8**2, "layer4": 0.8}
    for name, factor in factors.items():
        assert factor == pytest.approx(0.5 * expected[name.split(".")[2]]), name


@pytest.mark.parametrize("encoder", ["test_resnet", "test_vit"])
def test_a_step_of_sgd_moves_each_parameter_by_its_own_rate(encoder: str) -> None:
    """One step of plain SGD is the rate times the gradient, here 1."""
    torch.manual_seed(0)
    config = TrainConfig(optimizer="sgd", momentum=0.0, weight_decay=0.0, lr=1.0, encoder_lr=0.25, layer_decay=0.5)
    network = build_network(NetworkConfig(encoder=EncoderConfig(name=encoder), num_classes=3, size=(32, 32)))
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer = build_optimizer(network, config, CPU)
    set_learning_rate(optimizer, 0.125)
    optimizer.step()
    last = {"test_resnet": "encoder.body.layer4.", "test_vit": "encoder.body.model.blocks.5."}[encoder]
    first = {"test_resnet": "encoder.body.conv1.", "test_vit": "encoder.body.model.patch_embed."}[encoder]
    levels = {"test_resnet": 5, "test_vit": 4}[encoder]
    rates = {"head.": 0.125, "gate.": 0.125, last: 0.125 * 0.25 * 0.5, first: 0.125 * 0.25 * 0.5**levels}
    for start, rate in rates.items():
        moved = {name: old for name, old in before.items() if name.startswith(start)}
        assert moved
        for name, old in moved.items():
            torch.testing.assert_close(old - network.get_parameter(name), torch.full_like(old, rate), msg=name)
