import copy

import pytest
import torch
from torch import nn

from venation.models.dilated_conv import DilatedConv2d
from venation.models.memory_format import place
from venation.models.wide_conv import WideConv2d

CPU = torch.device("cpu")


def _gradients(layer: nn.Module, x_BCHW: torch.Tensor, *, half: bool) -> list[torch.Tensor]:
    layer, x_BCHW = copy.deepcopy(layer), x_BCHW.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        out_BOHW = layer(x_BCHW)
    assert out_BOHW.dtype == (torch.bfloat16 if half else torch.float32)
    return list(torch.autograd.grad(out_BOHW.float().square().mean(), (layer.weight, x_BCHW)))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(24, 6, 3, padding=2, dilation=2),
        nn.Conv2d(40, 40, 3, padding=12, dilation=12, groups=40),
        WideConv2d(24, 6, dilation=3),
    ],
    ids=["dense", "depthwise", "wide"],
)
def test_gradients_in_half_precision_are_those_of_float32(layer):
    torch.manual_seed(0)
    place(layer, CPU)
    x = torch.randn(8, layer.in_channels, 32, 32).to(memory_format=torch.channels_last)
    for half, full in zip(_gradients(layer, x, half=True), _gradients(layer, x, half=False), strict=True):
        torch.testing.assert_close(half, full, rtol=0.05, atol=0.02 * full.abs().max().item())


def test_only_dilated_convolutions_change_and_keep_their_weights():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=2, dilation=2), nn.Conv2d(4, 4, 3, padding=1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    place(network, CPU)
    assert [type(layer) for layer in network] == [DilatedConv2d, nn.Conv2d]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
