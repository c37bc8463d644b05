import pytest
import torch
from pydantic import ValidationError
from torchvision.ops import deform_conv2d

from venation.models.enhancer import FeatureEnhancer, branch_channels
from venation.models.network_config import DecoderConfig, LevelsConfig, WidthsConfig

NAMES = ("deform3", "deform5", "atrous2", "atrous3", "meanmax")


def _widths(*values):
    return WidthsConfig(**dict(zip(NAMES, values, strict=True)))


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(96, 1 / 16, 6), (24, 1 / 16, 1), (40, 1 / 16, 2), (100, 0.29, 29), (8, 0, 0)]
)
def test_branch_channels(channels, width, expected):
    assert branch_channels(channels, width) == expected


def test_parameters_of_the_branches_are_those_of_the_closed_form():
    enhancer = FeatureEnhancer(96, _widths(1 / 16, 1 / 8, 1 / 4, 1 / 8, 1 / 16))

    def conv(i, o, k):
        return i * o * k * k + o

    expected = {
        "deform3": conv(96, 6, 3) + conv(96, 64, 1) + conv(64, 18, 1),
        "deform5": conv(96, 12, 5) + conv(96, 64, 1) + conv(64, 50, 1),
        "atrous2": conv(96, 24, 3),
        "atrous3": conv(96, 12, 3),
        "meanmax": conv(2, 6, 1),
    }
    assert {n: sum(p.numel() for p in b.parameters()) for n, b in enhancer.branches.items()} == expected
    assert enhancer.out_channels == 60


def test_branches_have_the_documented_order_and_layers():
    torch.manual_seed(0)
    enhancer = FeatureEnhancer(16, _widths(0.125, 0.125, 0.25, 0.125, 0.0625))
    x = torch.randn(2, 16, 9, 7)
    parts = enhancer(x).split([2, 2, 4, 2, 1], dim=1)
    branches = enhancer.branches
    for part, name, dilation in ((parts[2], "atrous2", 2), (parts[3], "atrous3", 3)):
        layer = branches[name]
        expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=dilation, dilation=dilation)
        torch.testing.assert_close(part, expected)
    weight, bias = branches["meanmax"].weight[0, :, 0, 0], branches["meanmax"].bias
    torch.testing.assert_close(parts[4][:, 0], weight[0] * x.mean(1) + weight[1] * x.max(1).values + bias)
    torch.testing.assert_close(parts[1], branches["deform5"](x))


def test_a_width_of_zero_removes_the_branch():
    enhancer = FeatureEnhancer(16, _widths(0, 0.25, 0, 0, 0.01))
    assert list(enhancer.branches) == ["deform5"] and enhancer.out_channels == 4


def test_without_branches_there_are_no_channels():
    enhancer = FeatureEnhancer(16, _widths(0, 0, 0, 0, 0))
    assert enhancer.out_channels == 0
    assert enhancer(torch.randn(2, 16, 5, 4)).shape == (2, 0, 5, 4)


def test_a_factor_scales_all_branches_and_zero_removes_them():
    widths = _widths(0.25, 0.125, 0, 0.5, 0.0625)
    assert FeatureEnhancer(16, widths, factor=0.5).out_channels == 2 + 1 + 0 + 4 + 0
    assert FeatureEnhancer(16, widths, factor=2).out_channels == 8 + 4 + 0 + 16 + 2
    assert not FeatureEnhancer(16, widths, factor=0).branches


@pytest.mark.parametrize("kernel", [3, 7])
def test_deform_kernel_sets_the_larger_deformable_branch(kernel):
    torch.manual_seed(0)
    enhancer = FeatureEnhancer(8, _widths(0, 0.5, 0, 0, 0), deform_kernel=kernel)
    (layer,) = enhancer.branches.values()
    torch.nn.init.normal_(layer.offset[-1].weight, std=0.3)
    x = torch.randn(2, 8, 9, 7)
    expected = deform_conv2d(x, layer.offset(x), layer.conv.weight, layer.conv.bias, padding=kernel // 2)
    assert layer.conv.kernel_size == (kernel, kernel)
    torch.testing.assert_close(enhancer(x), expected, rtol=1e-4, atol=1e-5)


def test_dilation_sets_the_second_atrous_branch():
    enhancer = FeatureEnhancer(8, _widths(0, 0, 0, 0.25, 0), dilation=6)
    layer = enhancer.branches["atrous3"]
    x = torch.randn(1, 8, 15, 9)
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=6, dilation=6)
    torch.testing.assert_close(enhancer(x), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"deform_kernel": 4}, "the kernel size must be odd: set 3, 5 or 7"),
        ({"deform_kernel": 9}, "less than or equal to 7"),
        ({"dilation": 0}, "greater than or equal to 1"),
        ({"levels": {"level1": -1}}, "greater than or equal to 0"),
        ({"levels": {"level6": 1}}, "Extra inputs are not permitted"),
    ],
)
def test_invalid_enhancer_fields_are_rejected(fields, message):
    with pytest.raises(ValidationError, match=message):
        DecoderConfig(**fields)


def test_a_config_without_these_fields_gets_the_defaults():
    assert DecoderConfig.model_validate({"kind": "mnsa", "channels": 8}) == DecoderConfig(
        kind="mnsa", channels=8, levels=LevelsConfig(), deform_kernel=5, dilation=3
    )
