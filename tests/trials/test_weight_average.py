"""The moving average of weights against NumPy, alone and in a whole fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from venation.models.network import MultitaskNetwork
from venation.trials import train
from venation.trials.evaluate import evaluate
from venation.trials.trial_config import TrainConfig
from venation.trials.weight_average import WeightAverage

from .test_train import CPU, QUICK, Parts, assert_same, loaders, run

Weights = dict[str, NDArray[np.float64]]


def averaged(first: Weights, steps: list[Weights], decay: float) -> Weights:
    """Return the average of the weights by the formula, in double precision."""
    average = dict(first)
    for t, weights in enumerate(steps):
        share = min(decay, (1 + t) / (10 + t))
        average = {name: share * average[name] + (1 - share) * weights[name] for name in average}
    return average


def snapshot(module: nn.Module) -> Weights:
    return {
        name: tensor.double().numpy().copy()
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


@pytest.mark.parametrize("decay", [0.05, 0.5, 0.999])
def test_the_average_follows_the_formula(decay: float) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    first, steps = snapshot(module), []
    average = WeightAverage(module, decay)
    for step in range(30):
        module(torch.randn(4, 3))
        with torch.no_grad():
            module[0].weight.add_(torch.randn(2, 3))
        average.update()
        steps.append(snapshot(module))
        assert average.tensors["1.num_batches_tracked"] == step + 1
    for name, expected in averaged(first, steps, decay).items():
        np.testing.assert_allclose(average.tensors[name].numpy(), expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_frozen_parameters_are_not_copied() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    module[0].requires_grad_(False)
    assert {name.split(".")[0] for name in WeightAverage(module, 0.9).tensors} == {"1", "2"}


def test_the_module_has_the_average_inside_the_block_only() -> None:
    module = nn.Linear(2, 1)
    average = WeightAverage(module, 0.9)
    with torch.no_grad():
        module.weight.fill_(3.0)
    held = average.tensors["weight"].clone()
    with pytest.raises(ZeroDivisionError), average.applied():
        assert torch.equal(module.weight, held)
        raise ZeroDivisionError
    assert bool((module.weight == 3).all()) and torch.equal(average.tensors["weight"], held)


@pytest.fixture
def after_each_step(monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """Record the trained weights after every step of the fits of this test."""
    seen: list[Weights] = []
    original = train.build_optimizer

    def build(module: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
        optimizer = original(module, config, device)
        optimizer.register_step_post_hook(lambda *_: seen.append(snapshot(module)))
        return optimizer

    monkeypatch.setattr(train, "build_optimizer", build)
    return seen


def test_a_fit_validates_and_keeps_the_averaged_weights(
    parts: Parts, make_network: Callable[..., MultitaskNetwork], after_each_step: list[Weights]
) -> None:
    config = QUICK.model_copy(update={"ema": 0.8, "accumulate": 2})
    network = make_network()
    first = snapshot(network)
    results = list(run(network, parts, config))
    steps = 2
    assert len(after_each_step) == steps * config.epochs, "21 images in 3 batches, two of them accumulated"
    best = max(result.epoch for result in results if result.best)
    expected = averaged(first, after_each_step[: steps * (best + 1)], 0.8)
    for name, tensor in snapshot(network).items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("ema", [0.0, 0.8])
@pytest.mark.parametrize("monitor", ["accuracy", "logloss"])
def test_a_fit_keeps_the_best_mix_of_the_first_and_the_trained_weights(
    parts: Parts,
    make_network: Callable[..., MultitaskNetwork],
    after_each_step: list[Weights],
    ema: float,
    monitor: str,
) -> None:
    """Every mix of every epoch is validated here again; the training itself does not change."""
    config = QUICK.model_copy(update={"ema": ema, "wise_ft": True})
    network = make_network()
    first = snapshot(network)
    results = list(run(network, parts, config, monitor=monitor))
    other, loader, sign = make_network(), loaders(parts)[1], -1 if monitor == "logloss" else 1
    ranked: list[tuple[tuple[float, float], int, Weights]] = []
    mixes: list[tuple[float, float, Weights]]
    for epoch in range(config.epochs):
        steps = after_each_step[: 3 * (epoch + 1)]
        trained = averaged(first, steps, ema) if ema else steps[-1]
        mixes = []
        for share in (1.0, 0.75, 0.5, 0.25) if epoch else (1.0, 0.75, 0.5, 0.25, 0.0):
            mix = {name: (1 - share) * first[name] + share * trained[name] for name in first}
            other.load_state_dict(other.state_dict() | {name: torch.from_numpy(w) for name, w in mix.items()})
            metrics = evaluate(other, loader, device=CPU, task="classify")
            mixes.append((metrics["logloss"], metrics[monitor], mix))
        loss, value, mix = min(mixes, key=lambda one: one[0])
        ranked.append(((sign * value, -loss), epoch, mix))
    for result in results:
        key = ranked[result.epoch][0]
        assert (sign * result.metrics[monitor], -result.metrics["logloss"]) == pytest.approx(key, rel=1e-4)
    _, epoch, mix = max(ranked, key=lambda one: one[0])
    assert epoch == max(result.epoch for result in results if result.best)
    for name, tensor in snapshot(network).items():
        np.testing.assert_allclose(tensor, mix[name], rtol=1e-4, atol=1e-5, err_msg=name)
    plain = list(run(make_network(), parts, QUICK))
    assert [result.losses for result in results] == [result.losses for result in plain]


@pytest.mark.parametrize("killed_after", [1, 2, 3])
@pytest.mark.parametrize("kept", [{"ema": 0.9}, {"wise_ft": True}, {"ema": 0.5, "wise_ft": True}], ids=str)
@pytest.mark.parametrize("frozen", [False, True], ids=["all", "frozen stem"])
def test_a_fit_with_other_kept_weights_resumes_bit_for_bit(
    parts: Parts,
    make_network: Callable[..., MultitaskNetwork],
    tmp_path: Path,
    killed_after: int,
    kept: dict[str, float],
    frozen: bool,
) -> None:
    def make(**options: int) -> MultitaskNetwork:
        network = make_network(**options)
        network.encoder.body.conv1.requires_grad_(not frozen)
        return network

    config = QUICK.model_copy(update=kept)
    whole, path = make(), tmp_path / "c.safetensors"
    expected = list(run(whole, parts, config))
    cut = run(make(), parts, config, checkpoint=path)
    for _ in range(killed_after):
        next(cut)
    cut.close()
    resumed = make(seed=9)
    rest = list(run(resumed, parts, config, checkpoint=path))
    assert [r.metrics for r in rest] == [r.metrics for r in expected[killed_after:]]
    assert_same(whole.state_dict(), resumed.state_dict())


def test_out_of_memory_restores_the_average(
    parts: Parts, make_network: Callable[..., MultitaskNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch starts again after memory ran out in its second step."""
    config = QUICK.model_copy(update={"ema": 0.9, "micro_batch": 4, "epochs": 2})
    kept: list[dict[str, Tensor]] = []
    original, failing = train.add_gradients, iter([False, True])

    def add(network: MultitaskNetwork, *given: Any, size: int, **options: Any) -> dict[str, Tensor]:
        if next(failing, False):
            raise MemoryError
        return original(network, *given, size=4, **options)

    for patched in (False, True):
        if patched:
            monkeypatch.setattr(train, "add_gradients", add)
        network = make_network()
        list(run(network, parts, config))
        kept.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
    assert_same(*kept)
