import pytest
import torch

from venation.models import wide_conv
from venation.models.wide_conv import WideConv2d


def _products(monkeypatch):
    """Every map is small and every weight many; a list that has an entry for each one that was a matrix product."""
    monkeypatch.setattr(wide_conv, "_LEAST_WEIGHTS", 0)
    taken, unfold = [], torch.nn.functional.unfold
    monkeypatch.setattr(wide_conv.F, "unfold", lambda *args, **options: taken.append(1) or unfold(*args, **options))
    return taken


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 4), (1, 1), (3, 7)])
def test_the_product_is_the_convolution_with_all_gradients(size, layout, monkeypatch):
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


def test_only_small_maps_of_many_weights_are_products(monkeypatch):
    taken = _products(monkeypatch)
    layer = WideConv2d(3, 2)
    layer(torch.randn(2, 3, 12, 12))
    layer.to("meta")(torch.randn(1, 3, 2, 2, device="meta"))
    assert taken == []
    monkeypatch.undo()
    taken = []
    monkeypatch.setattr(wide_conv.F, "unfold", lambda *_, **__: pytest.fail("few weights need no product"))
    WideConv2d(3, 2)(torch.randn(1, 3, 2, 2))


def test_it_starts_as_the_convolution_that_it_stands_for():
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
