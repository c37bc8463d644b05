"""Schedules against torch's own schedulers, parameter groups, precision and seeds."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from venation.trials.optimise import build_optimizer, group_size, learning_rate, precision_dtype, seed_epoch
from venation.trials.trial_config import TrainConfig

CPU = torch.device("cpu")


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05)


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_cosine_equals_torchs_schedule_by_epoch() -> None:
    config = TrainConfig(epochs=7, lr=0.05, schedule="cosine")
    expected = rates(CosineAnnealingLR(sgd(), T_max=7), 7)
    ours = [learning_rate(step, steps_per_epoch=3, config=config) for step in range(21)]
    assert ours[::3] == pytest.approx(expected)
    assert ours[0:3] == [ours[0]] * 3


@pytest.mark.parametrize(("warmup", "epochs"), [(0.1, 6), (0.3, 5)])
def test_onecycle_equals_torchs_schedule_by_step(warmup: float, epochs: int) -> None:
    config = TrainConfig(epochs=epochs, lr=0.05, schedule="onecycle", warmup=warmup)
    total = epochs * 4
    torch_rates = rates(OneCycleLR(sgd(), 0.05, total_steps=total, pct_start=warmup, cycle_momentum=False), total - 1)
    ours = [learning_rate(step, steps_per_epoch=4, config=config) for step in range(total)]
    assert ours[:-1] == pytest.approx(torch_rates)
    assert ours[-1] == pytest.approx(0.05 / 25 / 1e4)
    assert max(ours) <= 0.05


@pytest.mark.parametrize(
    ("epochs", "steps", "warmup", "last"), [(50, 375, 800, 2.2e-6), (80, 750, 1500, 7.7e-7)], ids=["pim", "herbs"]
)
def test_warmcosine_equals_the_published_schedule(epochs: int, steps: int, warmup: int, last: float) -> None:
    """PIM's and HERBS' CUB recipes: every rate by NumPy, the last rate as the specs state it."""
    config = TrainConfig(epochs=epochs, lr=5e-4, schedule="warmcosine", warmup_steps=warmup)
    total = epochs * steps
    falling = 1e-12 + 0.5 * (5e-4 - 1e-12) * (1 + np.cos(np.pi * np.arange(total - warmup) / total))
    expected = np.concatenate([np.linspace(1e-9, 5e-4, warmup), falling])
    ours = [learning_rate(step, steps_per_epoch=steps, config=config) for step in range(total)]
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert (ours[0], ours[warmup - 1], ours[warmup]) == pytest.approx((1e-9, 5e-4, 5e-4))
    assert ours[-1] == pytest.approx(last, rel=0.03)


def test_a_warmup_ends_even_on_few_images() -> None:
    config = TrainConfig(epochs=10, lr=5e-4, schedule="warmcosine", warmup_steps=1500)
    ours = [learning_rate(step, steps_per_epoch=20, config=config) for step in range(200)]
    assert ours.index(max(ours)) == 19 and max(ours) == pytest.approx(5e-4)


def test_the_last_step_of_an_epoch_has_the_remaining_batches() -> None:
    assert [group_size(step, steps=7, accumulate=3) for step in range(7)] == [3, 3, 3, 3, 3, 3, 1]
    assert [group_size(step, steps=750, accumulate=4) for step in (0, 747, 748, 749)] == [4, 4, 2, 2]
    assert group_size(0, steps=1, accumulate=4) == 1


def test_tiny_fits_have_a_rate_at_every_step() -> None:
    for epochs, steps in ((1, 1), (1, 2), (5, 2), (10, 1)):
        config = TrainConfig(epochs=epochs, lr=0.05)
        values = [learning_rate(step, steps_per_epoch=steps, config=config) for step in range(epochs * steps)]
        assert all(0 < value <= 0.05 for value in values)
        assert values[0] == 0.05


def test_constant_is_constant() -> None:
    config = TrainConfig(epochs=3, lr=0.05, schedule="constant")
    assert {learning_rate(step, steps_per_epoch=4, config=config) for step in range(12)} == {0.05}


def test_adamw_does_not_decay_vectors_and_sgd_decays_everything() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    adamw = build_optimizer(module, TrainConfig(weight_decay=0.05), CPU)
    assert [(len(g["params"]), g["weight_decay"]) for g in adamw.param_groups] == [(1, 0.05), (3, 0.0)]
    sgd_all = build_optimizer(module, TrainConfig(optimizer="sgd", weight_decay=5e-4, momentum=0.8), CPU)
    assert [(len(g["params"]), g["weight_decay"], g["momentum"]) for g in sgd_all.param_groups] == [(4, 5e-4, 0.8)]


def test_frozen_parameters_are_not_optimised() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    (group,) = build_optimizer(module, TrainConfig(optimizer="sgd"), CPU).param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in module[1].parameters()]


def test_precision_on_a_cpu_is_fp32_unless_bf16_is_requested() -> None:
    assert precision_dtype(TrainConfig(), CPU) is None
    assert precision_dtype(TrainConfig(precision="fp32"), CPU) is None
    assert precision_dtype(TrainConfig(precision="bf16"), CPU) is torch.bfloat16


def test_an_epochs_randomness_depends_on_seed_and_epoch_alone() -> None:
    def draw(seed: int, epoch: int) -> float:
        seed_epoch(seed, epoch)
        return float(torch.rand(()))

    first = draw(0, 1)
    torch.rand(17)
    assert draw(0, 1) == first
    assert len({draw(seed, epoch) for seed in range(-2, 8) for epoch in range(10)}) == 100


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_fused_optimiser_equals_the_plain_loop(name: str) -> None:
    """The fused optimiser equals torch's unfused loop, with weight decay and momentum."""
    config = TrainConfig(optimizer=name, lr=0.01, nesterov=name == "sgd")
    ends = []
    for fused in (True, False):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        ours = build_optimizer(module, config, CPU)
        assert ours.defaults["fused"]
        groups = [{key: group[key] for key in ("params", "weight_decay")} for group in ours.param_groups]
        plain = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
        kind = torch.optim.SGD if name == "sgd" else torch.optim.AdamW
        optimizer = ours if fused else kind(groups, 0.01, foreach=False, fused=False, **plain)
        for step in range(3):
            for parameter in module.parameters():
                parameter.grad = torch.sin(parameter.detach() * 7 + step)
            optimizer.step()
        ends.append(module.state_dict())
    for key, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][key], rtol=1e-6, atol=1e-7, msg=key)
