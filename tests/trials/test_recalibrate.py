"""Recalibrated BatchNorm statistics against NumPy, and the state that must not change."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from venation.data.dataset import Batch
from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.trials.kinds import Task
from venation.trials.recalibrate import recalibrate

CPU = torch.device("cpu")


def network(kind: str = "unet") -> MultitaskNetwork:
    torch.manual_seed(0)
    decoder = DecoderConfig(kind=kind, channels=8)  # type: ignore[arg-type]
    config = NetworkConfig(encoder=EncoderConfig(name="test_resnet"), decoder=decoder, num_classes=3, size=(32, 32))
    return build_network(config)


def batches(*sizes: int) -> list[Batch]:
    rng = torch.Generator().manual_seed(1)
    blank = torch.zeros
    return [
        Batch(
            torch.randn(n, 3, 32, 32, generator=rng) + i, blank(n, dtype=torch.long), blank(n, 1, 32, 32), blank(n) > 0
        )
        for i, n in enumerate(sizes)
    ]


def record_inputs(net: nn.Module) -> dict[str, list[np.ndarray]]:
    """Record every input of every BatchNorm from now on."""
    seen: dict[str, list[np.ndarray]] = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):

            def keep(_: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
                seen.setdefault(name, []).append(given[0].detach().numpy().copy())

            module.register_forward_pre_hook(keep)
    return seen


def statistics(inputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return means and unbiased variances of the batches by channel, weighted by images."""
    images = [len(x) for x in inputs]
    means = [x.mean(axis=(0, 2, 3), dtype=np.float64) for x in inputs]
    variances = [x.var(axis=(0, 2, 3), ddof=1, dtype=np.float64) for x in inputs]
    return np.average(means, axis=0, weights=images), np.average(variances, axis=0, weights=images)


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize(("task", "part"), [("classify", "encoder."), ("segment", "decoder."), ("multitask", "")])
def test_statistics_equal_numpys_in_trained_parts_only(task: Task, part: str) -> None:
    net = network()
    if task == "segment":
        net.freeze_base()
    before = state(net)
    seen = record_inputs(net)
    recalibrate(net, batches(4, 4, 3), device=CPU, task=task)
    norms = {name: module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    moved = [name for name in norms if name.startswith(part)]
    assert moved
    for name in moved:
        mean, variance = statistics(seen[name])
        torch.testing.assert_close(norms[name].running_mean.double(), torch.from_numpy(mean), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norms[name].running_var.double(), torch.from_numpy(variance), rtol=1e-4, atol=1e-5)
        assert norms[name].momentum == 0.1
    for name, tensor in state(net).items():
        if not (
            name.startswith(part) and name.split(".")[-1] in ("running_mean", "running_var", "num_batches_tracked")
        ):
            assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_and_a_last_single_image_is_skipped(training: bool) -> None:
    net = network("none").train(training)
    modes = [module.training for module in net.modules()]
    recalibrate(net, batches(4, 4), device=CPU, task="classify")
    once = state(net)
    assert [module.training for module in net.modules()] == modes
    recalibrate(net, batches(4, 4, 1), device=CPU, task="classify")
    assert all(torch.equal(tensor, once[name]) for name, tensor in state(net).items())


def test_frozen_children_and_a_frozen_encoder_keep_their_statistics() -> None:
    for encoder in (
        EncoderConfig(name="test_resnet", frozen=True),
        EncoderConfig(name="test_resnet", frozen_children=4),
    ):
        torch.manual_seed(0)
        net = build_network(NetworkConfig(encoder=encoder, num_classes=3, size=(32, 32)))
        still = [n for n, m in net.train().named_modules() if isinstance(m, nn.BatchNorm2d) and not m.training]
        assert still
        before = state(net)
        recalibrate(net, batches(4, 4), device=CPU, task="classify")
        after = state(net)
        for name in still:
            assert torch.equal(after[f"{name}.running_mean"], before[f"{name}.running_mean"])
