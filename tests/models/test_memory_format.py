"""Networks in the CPU's memory format against the same networks in torch's usual one."""

import copy

import pytest
import torch

from venation.data.dataset import Batch
from venation.models.build import build_network
from venation.models.deform import DeformConv2d
from venation.models.memory_format import order_weights, place
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.models.wide_conv import WideConv2d
from venation.trials.checkpoint import load_optimizer, optimizer_tensors
from venation.trials.kinds import Task
from venation.trials.micro_batch import add_gradients
from venation.trials.optimise import build_optimizer
from venation.trials.trial_config import TrainConfig

CPU = torch.device("cpu")
MNSA = DecoderConfig(kind="mnsa", channels=16, full_size=True, detail=4)


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    mask_B1HW = (torch.rand(4, 1, 64, 64, generator=generator) > 0.5).float()
    return Batch(
        torch.randn(4, 3, 64, 64, generator=generator), torch.tensor([0, 1, 2, 0]), mask_B1HW, torch.ones(4).bool()
    )


def network_of(encoder: str, decoder: DecoderConfig) -> MultitaskNetwork:
    torch.manual_seed(0)
    return build_network(
        NetworkConfig(encoder=EncoderConfig(name=encoder), decoder=decoder, num_classes=3, size=(64, 64))
    )


@pytest.mark.parametrize(
    "decoder", [DecoderConfig(), MNSA, DecoderConfig(kind="unet", channels=8)], ids=lambda d: d.kind
)
@pytest.mark.parametrize("encoder", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_losses_and_gradients_are_equal_but_for_rounding(encoder: str, decoder: DecoderConfig) -> None:
    usual = network_of(encoder, decoder)
    placed = place(copy.deepcopy(usual), CPU)
    task: Task = "classify" if decoder.kind == "none" else "segment"
    config = TrainConfig(mask_weight=0.1, dice_weight=1.0)
    losses = []
    for network in (usual, placed):
        if task == "segment":
            network.freeze_base()
        parts = add_gradients(network, make_batch(), config, task=task, epoch=0, group=1, size=0)
        losses.append({name: float(value) for name, value in parts.items()})
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name, parameter in usual.named_parameters():
        if parameter.grad is not None:
            given = placed.get_parameter(name).grad
            tolerance = 1e-2 * float(parameter.grad.abs().max()) + 1e-7
            torch.testing.assert_close(given, parameter.grad, rtol=1e-3, atol=tolerance)


def test_only_convolutions_without_an_order_of_their_own_change() -> None:
    network = place(network_of("test_resnet", MNSA), CPU)
    own = (DeformConv2d, WideConv2d)
    kept = {id(p) for module in network.modules() if isinstance(module, own) for p in module.parameters()}
    assert kept
    for name, parameter in network.named_parameters():
        if parameter.ndim == 4:
            expected = torch.contiguous_format if id(parameter) in kept else torch.channels_last
            assert parameter.is_contiguous(memory_format=expected), name
    order_weights(network, torch.contiguous_format)
    assert all(parameter.is_contiguous() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_fused_optimiser_in_this_format_equals_the_plain_loop(name: str) -> None:
    """Two steps, the state saved and loaded in between, against torch's unfused optimiser."""
    config = TrainConfig(optimizer=name, lr=0.01)
    usual = network_of("test_resnet", DecoderConfig())
    placed = place(copy.deepcopy(usual), CPU)
    kind, options = {
        "sgd": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.05}),
        "adamw": (torch.optim.AdamW, {}),
    }[name]
    groups = build_optimizer(usual, config, CPU).param_groups
    plain = [{key: group[key] for key in ("params", "weight_decay")} for group in groups]
    reference = kind(plain, 0.01, foreach=False, fused=False, **options)
    optimizer = build_optimizer(placed, config, CPU)
    for step in range(2):
        for network, each in ((usual, reference), (placed, optimizer)):
            each.zero_grad()
            for parameter in network.parameters():
                (parameter * torch.sin(parameter.detach() * 7 + step)).sum().backward()
            each.step()
        saved = {key: tensor.clone().contiguous() for key, tensor in optimizer_tensors(optimizer).items()}
        optimizer = build_optimizer(placed, config, CPU)
        load_optimizer(optimizer, saved, source="here")
    for key, parameter in placed.named_parameters():
        torch.testing.assert_close(parameter, usual.get_parameter(key), rtol=1e-5, atol=1e-6, msg=key)
