"""Losses of PIM and HERBS against their formulas in NumPy, and operations per step."""

import numpy as np
import pytest
import torch
from scipy.special import kl_div, log_softmax, softmax
from torch.profiler import ProfilerActivity, profile

from venation.data.dataset import Batch
from venation.errors import UsageError
from venation.models.network import NetworkOutput
from venation.models.network_config import PluginConfig
from venation.models.plugin import PluginModule, PluginOutput
from venation.trials.losses import classify_loss, task_loss
from venation.trials.plugin_losses import plugin_losses, temperature
from venation.trials.trial_config import PluginLossConfig, TrainConfig

LABEL = torch.tensor([1, 0, 3])
SIZES, CLASSES, KEPT = ((4, 4), (2, 3)), 5, (9, 6)


def _output(*, first=True, grad=False):
    """Random logits; the second level keeps all of its positions."""
    generator = torch.Generator().manual_seed(0)
    counts = [h * w for h, w in SIZES]

    def logits(count):
        return (2 * torch.randn(len(LABEL), count, CLASSES, generator=generator)).requires_grad_(grad)

    level = tuple(logits(count) for count in counts)
    return PluginOutput(
        level_logits=level,
        first_logits=tuple(logits(count) for count in counts) if first else (),
        kept=tuple(torch.arange(k).expand(len(LABEL), k) for k in KEPT),
        kept_logits=tuple(x[:, :k] for x, k in zip(level, KEPT, strict=True)),
        dropped_logits=tuple(x[:, k:] for x, k in zip(level, KEPT, strict=True)),
        combined_BN=logits(1)[:, 0],
        features_BD=torch.zeros(len(LABEL), 2),
        sizes=SIZES,
    )


def _config(smoothing=0.0, **weights):
    none = {"stage": 0, "selected": 0, "dropped": 0, "combined": 0, "refine": 0}
    return TrainConfig(label_smoothing=smoothing, plugin=PluginLossConfig(**{**none, **weights}))


def _numpy(tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def _cross_entropy(logits, labels, smoothing=0.0):
    target = np.full(logits.shape, smoothing / CLASSES) + (1 - smoothing) * np.eye(CLASSES)[labels]
    return -(target * log_softmax(logits, axis=1)).sum(axis=1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropies_equal_their_formulas(smoothing):
    output = _output()
    parts = plugin_losses(output, LABEL, _config(smoothing, stage=1, selected=1, combined=1), epoch=0)
    assert set(parts) == {"stage", "selected", "combined"}
    label = LABEL.numpy()
    stage = sum(_cross_entropy(x.mean(axis=1), label, smoothing) for x in _numpy(output.level_logits))
    selected = sum(
        _cross_entropy(x.reshape(-1, CLASSES), np.repeat(label, x.shape[1]), smoothing)
        for x in _numpy(output.kept_logits)
    )
    assert parts["stage"].item() == pytest.approx(stage, rel=1e-6)
    assert parts["selected"].item() == pytest.approx(selected, rel=1e-6)
    combined = _cross_entropy(*_numpy([output.combined_BN]), label, smoothing)
    assert parts["combined"].item() == pytest.approx(combined, rel=1e-6)


def test_the_dropped_loss_equals_its_formula_and_is_zero_without_dropped_positions():
    output = _output()
    part = plugin_losses(output, LABEL, _config(dropped=5), epoch=0)["dropped"]
    shallow, deep = _numpy(output.dropped_logits)
    assert deep.shape == (3, 0, CLASSES)
    assert part.item() == pytest.approx(((np.tanh(shallow) + 1) ** 2).mean(), rel=1e-6)
    nothing = output._replace(dropped_logits=output.dropped_logits[1:] * 2)
    assert plugin_losses(nothing, LABEL, _config(dropped=5), epoch=0)["dropped"].item() == 0


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("mean", ["elements", "positions"])
def test_refinement_equals_the_divergence_at_the_epochs_temperature(mean, scaled):
    output = _output()
    config = _config(refine=1, refine_mean=mean, refine_scaled=scaled)
    part = plugin_losses(output, LABEL, config, epoch=45)["refine"]
    heat = 4.0
    expected = 0.0
    for second, first in zip(_numpy(output.level_logits), _numpy(output.first_logits), strict=True):
        divergence = kl_div(softmax(second / heat, axis=2), softmax(first / heat, axis=2))
        expected += divergence.mean() if mean == "elements" else divergence.sum(axis=2).mean()
    assert part.item() == pytest.approx(expected * (heat**2 if scaled else 1), rel=1e-5)


def test_refinement_has_gradients_for_the_first_heads_only():
    output = _output(grad=True)
    plugin_losses(output, LABEL, _config(refine=1), epoch=60)["refine"].backward()
    assert [level.grad for level in output.level_logits] == [None, None]
    assert all(level.grad.abs().sum() > 0 for level in output.first_logits)


def test_refinement_divides_in_float32_whatever_the_networks_precision():
    output = _output()
    half = output._replace(
        level_logits=tuple(x.bfloat16() for x in output.level_logits),
        first_logits=tuple(x.bfloat16() for x in output.first_logits),
    )
    rounded = half._replace(
        level_logits=tuple(x.float() for x in half.level_logits),
        first_logits=tuple(x.float() for x in half.first_logits),
    )
    config = _config(refine=1, stage=1)
    got, wanted = (plugin_losses(each, LABEL, config, epoch=25) for each in (half, rounded))
    assert {name: value.dtype for name, value in got.items()} == dict.fromkeys(got, torch.float32)
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_temperature_halves_every_decade():
    config = PluginLossConfig()
    assert [temperature(epoch, config) for epoch in range(0, 80, 10)] == [64, 32, 16, 8, 4, 2, 1, 0.5]
    assert [temperature(epoch, config) for epoch in (9, 10, 69, 79)] == [64, 32, 1, 0.5]
    assert temperature(7, PluginLossConfig(temperature=3, temperature_epochs=5)) == 1.5
    endless = PluginLossConfig(refine=1, temperature_epochs=1)
    part = plugin_losses(_output(), LABEL, TrainConfig(plugin=endless), epoch=100_000)["refine"]
    assert torch.isfinite(part)


def test_without_a_second_pyramid_there_is_no_refinement_loss():
    assert set(plugin_losses(_output(first=False), LABEL, _config(refine=1, combined=1), epoch=0)) == {"combined"}


def _network_output(plugin, attention=None):
    return NetworkOutput(plugin.log_probability_BN, attention, None, plugin.features_BD, plugin=plugin)


def _batch(label=LABEL):
    mask = torch.zeros(len(label), 1, 4, 4)
    mask[:, :, :2] = 1
    return Batch(torch.zeros(len(label), 3, 4, 4), label, mask, torch.ones(len(label), dtype=torch.bool))


def test_the_total_is_the_weighted_sum_and_the_gate_still_learns():
    weights = {"stage": 0.3, "selected": 0.2, "dropped": 5, "combined": 1, "refine": 1.375}
    config = _config(**weights).model_copy(update={"mask_weight": 0.1})
    attention = torch.full((3, 1, 2, 2), 0.25)
    loss = task_loss(_network_output(_output(), attention), _batch(), config, task="classify", epoch=70)
    parts = {name: part.item() for name, part in loss.parts.items()}
    assert parts["gate"] == pytest.approx((0.75**2 + 0.25**2) / 2)
    assert loss.total.item() == pytest.approx(sum({**weights, "gate": 0.1}[name] * parts[name] for name in parts))
    assert set(parts) == {*weights, "gate"}
    earlier = task_loss(_network_output(_output()), _batch(), config, task="classify", epoch=0)
    assert earlier.parts["refine"] < loss.parts["refine"] / 100


def test_losses_that_all_have_weight_zero_are_refused():
    with pytest.raises(UsageError, match="train.plugin"):
        classify_loss(_network_output(_output()), _batch(), _config())


SWIN_T = (192, 384, 768, 768), ((28, 28), (14, 14), (7, 7), (7, 7))


def _operations(config, images):
    """Count operations in a training step on a Swin-T's merged levels at 224 pixels."""
    channels, sizes = SWIN_T
    module = PluginModule(channels, sizes, config, num_classes=200, tokens=True)
    levels = [torch.randn(images, c, *size) for c, size in zip(channels, sizes, strict=True)]
    batch = _batch(torch.arange(images))
    losses = TrainConfig(plugin=PluginLossConfig(refine=1.375, selected=0.1))
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as recorded:
        classify_loss(_network_output(module(levels)), batch, losses, epoch=3).total.backward()
    return {event.key: event.count for event in recorded.key_averages() if event.key.startswith("aten::")}


@pytest.mark.parametrize(
    "config",
    [
        PluginConfig(width=512),
        PluginConfig(width=512, keep=(1 / 9, 2 / 9, 4 / 9, 2 / 9), bottom_up=True, rule="image", joint=64),
    ],
    ids=["pim", "herbs"],
)
def test_a_step_has_no_host_sync_and_no_loop_over_images(config):
    two, eight = _operations(config, 2), _operations(config, 8)
    assert two["aten::sort"] == 4
    assert [name for name in ("aten::item", "aten::_local_scalar_dense", "aten::nonzero") if name in eight] == []
    # Kernels inside matrix products depend on the size; the calls of the module itself do not.
    asked = {"aten::sort", "aten::gather", "aten::linear", "aten::batch_norm", "aten::softmax", "aten::log_softmax"}
    asked |= {"aten::matmul", "aten::cat", "aten::mean", "aten::cross_entropy_loss", "aten::tanh", "aten::kl_div"}
    assert {name: two[name] for name in asked & two.keys()} == {name: eight[name] for name in asked & eight.keys()}
    assert sum(two.values()) == pytest.approx(sum(eight.values()), rel=0.05)
