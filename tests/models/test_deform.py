import pytest
import torch
from torchvision.ops import deform_conv2d as reference

from venation.models import buffer_reuse, deform, sampling
from venation.models.deform import DeformConv2d, deform_branches, deform_conv2d
from venation.models.sampling import MixThenSample, mix_in_place_then_sample, mix_then_sample, sample_then_mix


def _case(batch, channels, out, height, width, kernel, *, reach=3, dtype=torch.float32):
    """Return random tensors; offsets reach far over the borders and are never whole numbers.

    At whole numbers the derivative has two values.
    """
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


def test_double_precision_is_kept():
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


def test_the_sampling_grid_stays_precise_under_autocast():
    torch.manual_seed(0)
    layer = DeformConv2d(4, 2, 3)
    torch.nn.init.normal_(layer.offset[-1].weight, std=0.1)
    x = torch.randn(1, 4, 2, 600)
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(x)
    assert rounded.dtype == torch.bfloat16
    # A bfloat16 position beyond 256 is off by whole pixels: the difference would be as large as the
    # signal.
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


def _layers(channels, *, outs=(2, 3), kernels=(3, 5)):
    torch.manual_seed(0)
    layers = [DeformConv2d(channels, out, kernel) for out, kernel in zip(outs, kernels, strict=True)]
    for layer in layers:
        torch.nn.init.normal_(layer.offset[-1].weight, std=0.3)
    return torch.nn.ModuleList(layers)


def _gradients(outputs, tensors):
    return torch.autograd.grad([(output * output).sum() for output in outputs], tensors)


@pytest.mark.parametrize("kernels", [(3, 5), (7, 3)])
def test_branches_in_one_pass_equal_separate_layers(kernels):
    layers = _layers(6, kernels=kernels).double()
    x = torch.randn(2, 6, 9, 7, dtype=torch.float64, requires_grad=True)
    together, alone = deform_branches(x, list(layers)), [layer(x) for layer in layers]
    tensors = [x, *layers.parameters()]
    for got, expected in zip(
        [*together, *_gradients(together, tensors)], [*alone, *_gradients(alone, tensors)], strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("small", [0, 2**30], ids=["by rows", "all taps"])
@pytest.mark.parametrize("shape", [(2, 6, 3, 9, 7, 3), (2, 4, 4, 6, 8, 5)], ids=str)
def test_the_custom_backward_pass_equals_autograd_in_both_orders(small, shape, monkeypatch):
    monkeypatch.setattr(sampling, "_MAX_ELEMENTS_AT_ONCE", small)
    x, offset, weight, _ = _case(*shape, dtype=torch.float64)
    given, padding = (x, weight, offset), shape[-1] // 2
    kept = mix_then_sample(*given, padding)
    seed = torch.randn(kept.shape, dtype=torch.float64)
    expected = [kept, *torch.autograd.grad(kept, given, seed)]
    others = [
        MixThenSample.apply(*given, padding),
        mix_in_place_then_sample(*given, padding),
        *(sample_then_mix(*given, padding, recompute=recompute) for recompute in (False, True)),
    ]
    for other in others:
        for got, wanted in zip([other, *torch.autograd.grad(other, given, seed)], expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_an_input_without_gradient_does_not_change_the_other_gradients():
    x, offset, weight, _ = _case(1, 6, 2, 8, 8, 3, dtype=torch.float64)
    wanted = torch.autograd.grad(MixThenSample.apply(x, weight, offset, 1).square().sum(), (weight, offset))
    frozen = MixThenSample.apply(x.detach(), weight, offset, 1).square().sum()
    for got, expected in zip(torch.autograd.grad(frozen, (weight, offset)), wanted, strict=True):
        assert torch.equal(got, expected)


def _stored_bytes(run):
    """Return the bytes that autograd stores between the passes, counting shared memory once."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run()
    assert output.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("out", [8, 24], ids=["mix first", "sample first"])
def test_stored_memory_does_not_grow_with_the_taps(out):
    x, offset, weight, bias = _case(1, 16, out, 32, 32, 5)
    inputs = sum(tensor.untyped_storage().nbytes() for tensor in (x, offset, weight, bias))
    kept = _stored_bytes(lambda: deform_conv2d(x, offset, weight, bias, padding=2))
    # Besides its inputs, the classical order stores the sampling grid, as large as the offsets.
    assert kept <= 2 * inputs
    assert _stored_bytes(lambda: mix_then_sample(x, weight, offset, 2)) > 25 * 8 * 32 * 32 * 4


@pytest.mark.parametrize(("side", "keeps"), [(28, True), (29, False)])
def test_mixed_maps_are_stored_only_if_small_for_many_channels(side, keeps):
    inputs = _case(1, 257, 8, side, side, 3)
    given = sum(tensor.untyped_storage().nbytes() for tensor in inputs)
    kept = _stored_bytes(lambda: deform_conv2d(*inputs, padding=1))
    assert (kept > given + 9 * 8 * side**2 * 4 / 2) == keeps and (keeps or kept <= given)
    mine, theirs = (function(*inputs, padding=1) for function in (deform_conv2d, reference))
    pairs = zip(torch.autograd.grad(mine.sum(), inputs), torch.autograd.grad(theirs.sum(), inputs), strict=True)
    for got, expected in [(mine, theirs), *pairs]:
        assert (got - expected).norm() <= 1e-5 * expected.norm()


def test_relative_differences_stay_below_1e_5_on_a_large_map():
    """float32 rounds most at coordinates beyond 64 pixels."""
    inputs = _case(1, 8, 2, 112, 112, 3)
    mine, theirs = (function(*inputs, padding=1) for function in (deform_conv2d, reference))
    pairs = zip(torch.autograd.grad(mine.sum(), inputs), torch.autograd.grad(theirs.sum(), inputs), strict=True)
    for got, expected in [(mine, theirs), *pairs]:
        assert (got - expected).norm() <= 1e-5 * expected.norm()
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("out", [2, 8], ids=["mix first", "sample first"])
def test_compiles_without_a_break(out):
    layer = _layers(4, outs=(out,), kernels=(3,))[0]
    x = torch.randn(2, 4, 6, 7, requires_grad=True)
    tensors = [x, *layer.parameters()]
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    got, expected = compiled(x), layer(x)
    for one, other in zip(
        [got, *_gradients([got], tensors)], [expected, *_gradients([expected], tensors)], strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_under_autocast_are_close_to_float32(layout):
    layers = _layers(8)
    # Arithmetic resets strides to the default layout, so the input itself must have them.
    x = torch.randn(2, 8, 12, 12).to(memory_format=layout).requires_grad_()
    tensors = [x, *layers.parameters()]
    exact = _gradients(deform_branches(x, list(layers)), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = deform_branches(x, list(layers))
    assert {output.dtype for output in outputs} == {torch.bfloat16}
    for tensor, got, expected in zip(tensors, _gradients([o.float() for o in outputs], tensors), exact, strict=True):
        assert got.dtype == tensor.dtype
        # Offsets are rounded by up to a hundredth of a pixel, and a gradient jumps where a tap
        # moves to the next pixel.
        assert (got - expected).norm() < 0.15 * expected.norm()


def _force_mixing_in_place(monkeypatch):
    """Return a list that gets an entry for each layer that mixes in place."""
    monkeypatch.setattr(deform, "_MAX_RECOMPUTED_CHANNELS", 0)
    monkeypatch.setattr(deform, "_MIN_IN_PLACE_WEIGHTS", 1)
    monkeypatch.setattr(buffer_reuse, "_MIN_BYTES", 1)
    taken, original = [], deform.mix_in_place_then_sample
    monkeypatch.setattr(
        deform, "mix_in_place_then_sample", lambda *args, **options: taken.append(1) or original(*args, **options)
    )
    return taken


@pytest.mark.parametrize("shape", [(2, 8, 2, 9, 7, 3), (1, 12, 3, 8, 16, 5), (1, 16, 1, 2, 1, 3)], ids=str)
def test_many_weights_and_few_positions_equal_torchvision(shape, monkeypatch):
    taken = _force_mixing_in_place(monkeypatch)
    inputs, padding = _case(*shape), shape[-1] // 2
    mine, theirs = (function(*inputs, padding=padding) for function in (deform_conv2d, reference))
    seed = torch.randn(mine.shape)
    pairs = zip(torch.autograd.grad(mine, inputs, seed), torch.autograd.grad(theirs, inputs, seed), strict=True)
    assert taken == [1]
    for got, expected in [(mine, theirs), *pairs]:
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_large_map_is_mixed_in_chunks(monkeypatch):
    taken = _force_mixing_in_place(monkeypatch)
    deform_conv2d(*_case(1, 4, 2, 20, 20, 3), padding=1)
    assert taken == []


def test_a_weight_gradient_reuses_the_last_ones_memory_unless_it_is_in_use(monkeypatch):
    taken = _force_mixing_in_place(monkeypatch)
    (layer,) = _layers(6, outs=(2,), kernels=(3,))
    layer.double()
    batches = torch.randn(4, 2, 6, 5, 5, dtype=torch.float64)
    places, sums = set(), []
    for x in batches[:2]:
        layer.zero_grad(set_to_none=True)
        layer(x).sum().backward()
        places.add(layer.conv.weight.grad.data_ptr())
    held = layer.conv.weight.grad.clone()
    for x in batches[2:]:
        layer(x).sum().backward()
        sums.append(
            torch.autograd.grad(reference(x, layer.offset(x), layer.conv.weight, padding=1).sum(), layer.conv.weight)[0]
        )
    assert len(taken) == 4 and len(places) == 1
    torch.testing.assert_close(layer.conv.weight.grad, held + sum(sums))


@pytest.mark.parametrize("in_place", [False, True])
def test_offsets_stay_fractional_under_autocast(in_place, monkeypatch):
    if in_place:
        _force_mixing_in_place(monkeypatch)
    torch.manual_seed(0)
    layer = DeformConv2d(4, 2, 3)
    # Halfway between two numbers of bfloat16: rounded, it would be off by an eighth of a pixel.
    torch.nn.init.constant_(layer.offset[-1].bias[1::2], 40.125)
    x = torch.zeros(1, 4, 2, 60)
    x[..., ::2] = 1
    x.requires_grad_()
    exact = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    torch.nn.init.constant_(layer.offset[-1].bias[1::2], 40.0)
    rounded = layer(x)
    assert half.dtype == torch.bfloat16
    assert (half - exact).abs().max() < 0.1 * (rounded - exact).abs().max()
