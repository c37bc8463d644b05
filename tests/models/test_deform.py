import pytest
import torch
from torchvision.ops import deform_conv2d as reference

from venation.models.deform import DeformConv2d, deform_conv2d


def _case(batch, channels, out, height, width, kernel, *, reach=3, dtype=torch.float32):
    """Offsets reach far over the borders; their fractions stay off 0, where the derivative has two values."""
    torch.manual_seed(kernel * out)
    x = torch.randn(batch, channels, height, width, dtype=dtype)
    offset_shape = (batch, 2 * kernel**2, height, width)
    offset = torch.randint(-reach, reach, offset_shape) + 0.05 + 0.9 * torch.rand(offset_shape)
    weight = torch.randn(out, channels, kernel, kernel) / (channels * kernel**2) ** 0.5
    tensors = (x, offset.to(dtype), weight.to(dtype), torch.randn(out, dtype=dtype))
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize(
    "shape",
    [
        (2, 8, 2, 9, 7, 3),
        (1, 12, 3, 8, 16, 5),
        (2, 4, 4, 5, 5, 5),
        (2, 3, 8, 9, 7, 3),
        (1, 2, 6, 6, 11, 5),
        (1, 16, 1, 2, 1, 3),
    ],
    ids=str,
)
def test_values_and_gradients_equal_torchvision(shape):
    inputs = _case(*shape)
    padding = shape[-1] // 2
    mine, theirs = (function(*inputs, padding=padding) for function in (deform_conv2d, reference))
    seed = torch.randn(mine.shape)
    pairs = zip(torch.autograd.grad(mine, inputs, seed), torch.autograd.grad(theirs, inputs, seed), strict=True)
    for got, expected in [(mine, theirs), *pairs]:
        assert got.shape == expected.shape
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_double_precision_stays_double():
    inputs = _case(1, 4, 2, 6, 6, 3, dtype=torch.float64)
    mine, theirs = deform_conv2d(*inputs, padding=1), reference(*inputs, padding=1)
    assert mine.dtype == torch.float64
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_without_padding_or_bias():
    x, offset, weight, _ = _case(1, 4, 2, 8, 8, 3)
    offset = offset[..., :6, :6]
    torch.testing.assert_close(deform_conv2d(x, offset, weight), reference(x, offset, weight), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "out"), [(3, 2), (5, 12)])
def test_layer_starts_as_a_plain_convolution(kernel, out):
    layer = DeformConv2d(6, out, kernel)
    x = torch.randn(2, 6, 9, 11)
    plain = torch.nn.functional.conv2d(x, layer.conv.weight, layer.conv.bias, padding=kernel // 2)
    torch.testing.assert_close(layer(x), plain, rtol=1e-4, atol=1e-5)


def test_layer_learns_its_offsets():
    torch.manual_seed(0)
    layer = DeformConv2d(4, 2, 3)
    layer(torch.randn(1, 4, 8, 8)).square().sum().backward()
    assert layer.offset[-1].weight.grad.abs().max() > 0


def test_sampling_grid_keeps_its_precision_under_autocast():
    torch.manual_seed(0)
    layer = DeformConv2d(4, 2, 3)
    torch.nn.init.normal_(layer.offset[-1].weight, std=0.1)
    x = torch.randn(1, 4, 2, 600)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x)
    assert rounded.dtype == torch.bfloat16
    # A bfloat16 position beyond 256 is off by whole pixels: the difference would be as large as the signal.
    assert (rounded - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize("out", [2, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layer_in_half_precision_and_any_memory_layout(out, layout):
    torch.manual_seed(0)
    layer = DeformConv2d(4, out, 3)
    x = torch.randn(2, 4, 8, 9)
    expected = layer(x)
    torch.testing.assert_close(layer(x.to(memory_format=layout)), expected, rtol=1e-4, atol=1e-5)
    half = layer.bfloat16()(x.to(torch.bfloat16, memory_format=layout))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.05)
