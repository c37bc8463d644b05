import pytest
import torch

from venation.models import buffer_reuse, wide_conv
from venation.models.wide_conv import WideConv2d


def _products(monkeypatch):
    """Force the matrix product; return a list that gets an entry for each product."""
    monkeypatch.setattr(wide_conv, "_MIN_WEIGHTS", 0)
    taken, unfold = [], torch.nn.functional.unfold
    monkeypatch.setattr(wide_conv.F, "unfold", lambda *args, **options: taken.append(1) or unfold(*args, **options))
    return taken


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 7)])
def test_the_product_equals_the_convolution_and_its_gradients(size, layout, monkeypatch):
    taken = _products(monkeypatch)
    torch.manual_seed(0)
    layer = WideConv2d(6, 5).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    mine = layer(x)
    plain = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    assert taken == [1] and mine.shape == plain.shape
    inputs, seed = (x, layer.weight, layer.bias), torch.randn(plain.shape, dtype=torch.float64)
    pairs = zip(torch.autograd.grad(mine, inputs, seed), torch.autograd.grad(plain, inputs, seed), strict=True)
    for got, expected in [(mine, plain), *pairs]:
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_only_small_maps_with_many_weights_use_the_product(monkeypatch):
    taken = _products(monkeypatch)
    layer = WideConv2d(3, 2)
    layer(torch.randn(2, 3, 12, 12))
    layer.to("meta")(torch.randn(1, 3, 2, 2, device="meta"))
    assert taken == []
    monkeypatch.undo()
    taken = []
    monkeypatch.setattr(wide_conv.F, "unfold", lambda *_, **__: pytest.fail("few weights need no product"))
    WideConv2d(3, 2)(torch.randn(1, 3, 2, 2))


def test_its_initial_weights_equal_a_convolutions():
    torch.manual_seed(3)
    mine = WideConv2d(4, 7).state_dict()
    torch.manual_seed(3)
    plain = torch.nn.Conv2d(4, 7, 3, padding=1).state_dict()
    assert list(mine) == list(plain) and all(torch.equal(mine[name], plain[name]) for name in plain)


def test_half_precision_under_autocast(monkeypatch):
    taken = _products(monkeypatch)
    layer, x = WideConv2d(6, 5), torch.randn(2, 6, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert taken == [1] and half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), layer(x), rtol=0.1, atol=0.05)


@pytest.mark.parametrize("dilation", [2, 3, 6])
def test_a_dilated_product_equals_the_convolution_and_its_gradients(dilation, monkeypatch):
    taken = _products(monkeypatch)
    torch.manual_seed(0)
    layer = WideConv2d(4, 3, dilation=dilation).double()
    x = torch.randn(2, 4, 7, 5, dtype=torch.float64, requires_grad=True)
    mine = layer(x)
    plain = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=dilation, dilation=dilation)
    inputs, seed = (x, layer.weight, layer.bias), torch.randn(plain.shape, dtype=torch.float64)
    pairs = zip(torch.autograd.grad(mine, inputs, seed), torch.autograd.grad(plain, inputs, seed), strict=True)
    assert taken == [1]
    for got, expected in [(mine, plain), *pairs]:
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


def test_an_input_without_gradient_gets_none(monkeypatch):
    _products(monkeypatch)
    layer, x = WideConv2d(4, 3).double(), torch.randn(2, 4, 5, 5, dtype=torch.float64)
    weight = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    plain = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(weight, torch.autograd.grad(plain.square().sum(), layer.weight)[0])


def _reuse_all_buffers(monkeypatch):
    _products(monkeypatch)
    monkeypatch.setattr(buffer_reuse, "_MIN_BYTES", 1)


def _backward(layer, x):
    layer(x).square().sum().backward()


def test_every_step_reuses_the_memory_of_the_last_gradient(monkeypatch):
    _reuse_all_buffers(monkeypatch)
    layer, places = WideConv2d(4, 3), set()
    for _ in range(3):
        layer.zero_grad(set_to_none=True)
        _backward(layer, torch.randn(2, 4, 5, 5))
        places.add(layer.weight.grad.data_ptr())
    assert len(places) == 1


def test_accumulated_gradients_and_gradients_in_use_are_not_overwritten(monkeypatch):
    _reuse_all_buffers(monkeypatch)
    torch.manual_seed(0)
    layer, batches = WideConv2d(4, 3).double(), torch.randn(3, 2, 4, 5, 5, dtype=torch.float64)
    convolved = [torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=1) for x in batches]
    expected = [torch.autograd.grad(y.square().sum(), layer.weight)[0] for y in convolved]
    held = [torch.autograd.grad(layer(x).square().sum(), layer.weight)[0] for x in batches]
    for x in batches:
        _backward(layer, x)
    torch.testing.assert_close(layer.weight.grad, sum(expected))
    torch.testing.assert_close(held, expected)


@pytest.mark.parametrize("few", [0, 64], ids=["in half precision", "in full"])
def test_gradients_under_autocast_are_close_to_float32(few, monkeypatch):
    _reuse_all_buffers(monkeypatch)
    monkeypatch.setattr(wide_conv, "_MAX_WRITE_BOUND_POSITIONS", few)
    # Five outputs, two at a time, so the last chunk has one.
    monkeypatch.setattr(wide_conv, "_ROWS_PER_CHUNK", 2)
    torch.manual_seed(0)
    layer, x = WideConv2d(6, 5), torch.randn(2, 6, 4, 4, requires_grad=True)
    seed, inputs = torch.randn(2, 5, 4, 4), (x, *layer.parameters())
    exact = torch.autograd.grad(layer(x), inputs, seed)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    for tensor, got, expected in zip(inputs, torch.autograd.grad(half, inputs, seed.bfloat16()), exact, strict=True):
        assert got.dtype == tensor.dtype
        assert (got - expected).norm() < 0.01 * expected.norm()
