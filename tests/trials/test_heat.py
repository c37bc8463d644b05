"""Heat maps against finite differences and plain loops over the levels of the logits."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import EncoderConfig, NetworkConfig, PluginConfig
from venation.trials.heat import class_heat, combine, source_heats

Make = Callable[..., MultitaskNetwork]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_plugin(keep: tuple[float, ...], **switches: object) -> MultitaskNetwork:
    torch.manual_seed(0)
    plugin = PluginConfig(width=8, keep=keep, joint=4, **switches)
    config = NetworkConfig(
        encoder=EncoderConfig(name="test_resnet"), gate="mean", plugin=plugin, num_classes=3, size=(64, 64)
    )
    return build_network(config).eval()


def levels_of(network: MultitaskNetwork, images: int = 2) -> list[torch.Tensor]:
    with torch.no_grad():
        return network.encoder(torch.randn(images, 3, 64, 64, generator=seeded()))


def test_without_a_gate_the_map_is_a_class_activation_map(make_network: Make) -> None:
    network = make_network(gate="none").eval()
    level = torch.randn(2, network.head.in_features, 3, 4, generator=seeded())
    chosen = torch.tensor([2, 0])
    weight = network.head.weight.detach()[chosen] / 12
    expected = F.relu(weight[:, :, None, None] * level).sum(1)
    expected = expected / expected.amax((1, 2), keepdim=True)
    np.testing.assert_allclose(class_heat(network, [level], chosen).numpy(), expected.numpy(), rtol=1e-4)


def test_the_map_of_a_gated_network_equals_finite_differences(make_network: Make) -> None:
    network = make_network(gate="mean").eval().double()
    level = torch.rand(1, network.head.in_features, 2, 2, generator=seeded())

    def score(x: torch.Tensor) -> float:
        with torch.no_grad():
            blended, _ = network.gate(x)
            return float(network.head(blended.mean((2, 3)))[0, 1])

    gradient = torch.zeros_like(level, dtype=torch.float64)
    for index in np.ndindex(*level.shape):
        step = torch.zeros_like(gradient)
        step[index] = 1e-4
        gradient[index] = (score(level.double() + step) - score(level.double() - step)) / 2e-4
    expected = F.relu(gradient.mean((2, 3), keepdim=True) * level).sum(1)
    found = class_heat(make_network(gate="mean").eval(), [level], torch.tensor([1]))
    np.testing.assert_allclose(found.numpy(), expected / expected.max(), rtol=1e-3)


@pytest.mark.parametrize("bottom_up", [False, True])
def test_every_level_that_a_plugin_reads_is_a_source(bottom_up: bool) -> None:
    network = with_plugin((0.5, 0.5, 0.5), bottom_up=bottom_up)
    levels = levels_of(network)
    heats = source_heats(network, levels, torch.tensor([0, 1]))
    assert [heat.shape[-2:] for heat in heats] == [level.shape[-2:] for level in levels[-3:]]
    assert len(levels) > 3
    for heat in heats:
        assert heat.min() >= 0 and torch.equal(heat.amax((1, 2)), torch.ones(2))
    assert class_heat(network, levels, torch.tensor([0, 1])).shape == (2, *levels[-3].shape[-2:])


def test_the_map_of_a_plugin_equals_a_loop_over_numeric_gradients() -> None:
    network = with_plugin((0.5, 1.0), ranks="mean", rule="image")
    single = levels_of(network, images=1)
    found = source_heats(network, single, torch.tensor([2]))
    levels = [level.double() for level in single]
    network = network.double()

    def score(at: int, level: torch.Tensor) -> float:
        """Return the log of the heads' mean probability of class 2 in double precision."""
        with torch.no_grad():
            said = network.classify([*levels[:at], level, *levels[at + 1 :]]).plugin
        heads = [logits.mean(1)[0] for logits in said.level_logits] + [said.combined_BN[0]]
        return float(np.log(np.mean([np.exp(head[2]) / np.exp(head).sum() for head in map(np.asarray, heads)])))

    for source, at in enumerate((len(levels) - 2, len(levels) - 1)):
        level = levels[at]
        expected = torch.zeros(level.shape[-2:], dtype=torch.float64)
        for channel in range(level.shape[1]):
            # The mean of the gradient over positions is the slope along all positions at once, per
            # position.
            step = torch.zeros_like(level)
            step[0, channel] = 1e-5
            slope = (score(at, level + step) - score(at, level - step)) / 2e-5 / level[0, 0].numel()
            expected += (slope * level[0, channel]).clamp(min=0)
        np.testing.assert_allclose(found[source][0].numpy(), expected / expected.max(), atol=1e-3)


def test_the_maps_of_a_batch_equal_those_of_single_images() -> None:
    network = with_plugin((0.5, 0.5, 0.5))
    levels = levels_of(network, images=3)
    chosen = torch.tensor([0, 2, 1])
    whole = class_heat(network, levels, chosen)
    for index in range(3):
        alone = class_heat(network, [level[index : index + 1] for level in levels], chosen[index : index + 1])
        np.testing.assert_allclose(whole[index].numpy(), alone[0].numpy(), atol=1e-5)


def test_sources_are_combined_by_their_geometric_mean() -> None:
    fine, coarse = torch.rand(2, 6, 8, generator=seeded(1)), torch.rand(2, 3, 4, generator=seeded(2))
    up = F.interpolate(coarse[:, None], (6, 8), mode="bilinear")[:, 0]
    found = combine([coarse, fine])
    np.testing.assert_allclose(found.numpy(), ((fine + 0.01) * (up + 0.01)).sqrt() - 0.01, atol=1e-6)
    assert torch.equal(combine([fine]), fine)


def test_a_source_of_zeros_does_not_erase_the_others() -> None:
    speaking = torch.rand(2, 4, 4, generator=seeded())
    silent = speaking.clone()
    silent[0] = 0
    found = combine([speaking, silent])
    np.testing.assert_allclose(found[0].numpy(), speaking[0].numpy() / 2)
    np.testing.assert_allclose(found[1].numpy(), speaking[1].numpy(), atol=1e-6)
    assert torch.equal(combine([silent * 0, silent * 0]), torch.zeros(2, 4, 4))


def test_the_map_is_zero_without_evidence_for_the_class(make_network: Make) -> None:
    network = make_network(gate="none").eval()
    heat = class_heat(network, [torch.zeros(1, network.head.in_features, 2, 2)], torch.tensor([0]))
    assert torch.equal(heat, torch.zeros(1, 2, 2))
