"""Subnets of a wide decoder against narrow decoders: equal values and gradients, bit for bit."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from venation.models.build import build_network
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig, WidthsConfig
from venation.models.run_decoder import run_decoder
from venation.models.shared_maps import capture_shared_maps
from venation.models.subnets import DecoderSubnet

BRANCHES = tuple(WidthsConfig.model_fields)
WIDEST = WidthsConfig(deform3=0.25, deform5=0.25, atrous2=0.5, atrous3=0.25, meanmax=0.3)
NONE = WidthsConfig(**dict.fromkeys(BRANCHES, 0.0))
DECODERS = {
    "published": DecoderConfig(kind="mnsa"),
    "efficient": DecoderConfig(kind="mnsa", channels=12, full_size=True, detail=4),
    "supervised": DecoderConfig(kind="mnsa", channels=12, supervise=True, transfer=0.6),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network(decoder: DecoderConfig, widths: WidthsConfig, encoder: str = "test_resnet") -> MultitaskNetwork:
    torch.manual_seed(1)
    config = decoder.model_copy(update={"widths": widths})
    net = build_network(
        NetworkConfig(encoder=EncoderConfig(name=encoder), decoder=config, num_classes=3, size=(64, 64))
    )
    net.freeze_base()
    return net


def narrow(decoder: DecoderConfig, widths: WidthsConfig) -> DecoderConfig:
    return decoder.model_copy(update={"widths": widths})


def images(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def random_widths(seed: int) -> WidthsConfig:
    """Return widths with each branch off, at full width or in between."""
    shares = torch.rand(len(BRANCHES), generator=torch.Generator().manual_seed(seed))
    widths = {
        b: getattr(WIDEST, b) * min(1.0, max(0.0, 1.6 * float(s) - 0.3)) for b, s in zip(BRANCHES, shares, strict=True)
    }
    return WidthsConfig(**widths)


def trained(decoder: DecoderConfig, encoder: str = "test_resnet") -> MultitaskNetwork:
    """Return the widest network, with statistics and offsets other than the initial ones."""
    wide = network(decoder, WIDEST, encoder)
    with torch.no_grad():
        for parameter in wide.decoder.parameters():  # type: ignore[union-attr]
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
        for seed in range(3):
            wide.train()(images(seed))
    return wide


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("training", [False, True])
def test_the_full_width_subnet_equals_the_wide_decoder_bit_for_bit(name: str, training: bool) -> None:
    wide, x = trained(DECODERS[name]).train(training), images(7)
    assert wide.decoder is not None
    levels = wide.encoder(x)
    before = {key: value.clone() for key, value in wide.decoder.state_dict().items()}
    with capture_shared_maps(wide.decoder) as shared:
        expected = run_decoder(wide.decoder, levels, x)
    after = {key: value.clone() for key, value in wide.decoder.state_dict().items()}
    wide.decoder.load_state_dict(before)
    for fed in (False, True):
        whole = DecoderSubnet(wide.decoder, narrow(DECODERS[name], WIDEST), reuse_maps=fed)
        whole.module.train(training)
        tensors = whole.weights() | whole.buffers()
        outputs = whole(tensors, levels, x, shared)
        assert len(outputs) == len(expected) and all(map(torch.equal, outputs, expected))
        assert all(torch.equal(value, after[key]) for key, value in tensors.items())
    assert all(torch.equal(value, before[key]) for key, value in wide.decoder.state_dict().items())


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("widths", [NONE, *map(random_widths, range(2))])
def test_a_subnet_equals_a_narrow_decoder_with_the_same_weights(name: str, widths: WidthsConfig) -> None:
    wide, x = trained(DECODERS[name]).eval(), images(7)
    assert wide.decoder is not None
    part = DecoderSubnet(wide.decoder, narrow(DECODERS[name], widths))
    alone = network(DECODERS[name], widths).eval()
    assert alone.decoder is not None
    alone.decoder.load_state_dict(part.weights() | part.buffers())
    assert part.parameters == sum(parameter.numel() for parameter in alone.decoder.parameters())
    part.module.eval()
    levels = wide.encoder(x)
    expected = run_decoder(alone.decoder, levels, x)[0]
    assert torch.equal(part(part.weights() | part.buffers(), levels, x)[0], expected)
    with torch.no_grad(), capture_shared_maps(wide.decoder) as shared:
        run_decoder(wide.decoder, levels, x)
    fed = DecoderSubnet(wide.decoder, narrow(DECODERS[name], widths), reuse_maps=True)
    fed.module.eval()
    handed = fed(fed.weights() | fed.buffers(), [x], x, shared)[0]
    # A convolution of fewer channels may add in another order.
    assert torch.allclose(handed, expected, rtol=1e-5, atol=1e-5) and fed.parameters == part.parameters


def test_a_subnet_keeps_each_branchs_first_channels_and_the_weights_that_read_them() -> None:
    """Numbered weights show which ones a subnet has."""
    decoder = DECODERS["efficient"].model_copy(update={"full_size": False, "detail": 0})
    wide = network(decoder, WIDEST).decoder
    assert wide is not None
    part = DecoderSubnet(
        wide, narrow(decoder, WidthsConfig(deform3=0.25, deform5=0, atrous2=0.25, atrous3=0.1, meanmax=0.2))
    )
    sizes = {"deform3": (3, 3), "deform5": (3, 0), "atrous2": (6, 3), "atrous3": (3, 1), "meanmax": (3, 2)}
    kept, start = [], 0
    for whole, own in sizes.values():
        kept += range(start, start + own)
        start += whole
    weights = part.weights()
    place = wide.get_parameter("blocks.4.conv1.weight")
    rows = [*range(12), *(12 + k for k in kept), *range(12 + 18, 12 + 18 + 12)]
    assert place.shape[1] == 12 + 18 + 12 and torch.equal(weights["blocks.4.conv1.weight"], place[:, rows])
    assert torch.equal(weights["center.0.weight"], wide.get_parameter("center.0.weight")[:, rows[: 12 + 9]])
    transfer = wide.get_parameter("transfers.2.weight")
    assert transfer.shape == (4, 18, 1, 1) and torch.equal(weights["transfers.2.weight"], transfer[:2, kept])
    assert torch.equal(
        weights["enhancers.0.branches.atrous2.weight"], wide.get_parameter("enhancers.0.branches.atrous2.weight")[:3]
    )
    assert not [key for key in weights if "deform5" in key]
    assert torch.equal(weights["blocks.0.conv2.weight"], wide.get_parameter("blocks.0.conv2.weight")[:, : 12 + 2])


@pytest.mark.parametrize("name", DECODERS)
def test_sandwich_gradients_equal_the_sum_of_separate_decoders_gradients(name: str) -> None:
    """The plain loop runs each narrow network and adds its gradient at the cut weights."""
    wide, x = trained(DECODERS[name]).double().train(), images(7).double()
    assert wide.decoder is not None
    configs = [narrow(DECODERS[name], widths) for widths in (NONE, random_widths(0), random_widths(1))]
    levels = wide.encoder(x)
    expected: dict[str, Tensor] = {key: torch.zeros_like(value) for key, value in wide.decoder.named_parameters()}
    sum(each.square().mean() for each in run_decoder(wide.decoder, levels, x)).backward()  # type: ignore[union-attr]
    for key, value in wide.decoder.named_parameters():
        expected[key] += value.grad  # type: ignore[operator]
    # Weights that are their own numbers show where they were cut from.
    numbered = {
        key: torch.arange(value.numel()).to(value).view(value.shape) for key, value in wide.decoder.named_parameters()
    }
    start = {key: value.detach().clone() for key, value in wide.decoder.named_parameters()}
    for config in configs:
        part = DecoderSubnet(wide.decoder, config)
        alone = network(DECODERS[name], config.widths).double().train()
        assert alone.decoder is not None
        alone.decoder.load_state_dict(part.weights() | part.buffers())
        sum(each.square().mean() for each in run_decoder(alone.decoder, levels, x)).backward()  # type: ignore[union-attr]
        with torch.no_grad():
            for key, value in wide.decoder.named_parameters():
                value.copy_(numbered[key])
            places = {key: value.long().flatten() for key, value in part.weights().items()}
            for key, value in wide.decoder.named_parameters():
                value.copy_(start[key])
        for key, value in alone.decoder.named_parameters():
            assert value.grad is not None
            expected[key].view(-1).index_add_(0, places[key], value.grad.flatten())
    wide.decoder.zero_grad()
    with capture_shared_maps(wide.decoder) as shared:
        outputs = run_decoder(wide.decoder, levels, x)
    sum(each.square().mean() for each in outputs).backward()  # type: ignore[union-attr]
    for config in configs:
        part = DecoderSubnet(wide.decoder, config, reuse_maps=True)
        outputs = part(part.weights() | part.buffers(), [x], x, shared)
        sum(each.square().mean() for each in outputs).backward()  # type: ignore[union-attr]
    shared.backward()
    for key, value in wide.decoder.named_parameters():
        assert value.grad is not None, key
        assert torch.allclose(value.grad, expected[key], rtol=1e-8, atol=1e-12), key


def test_a_decoder_behind_a_pyramid_has_subnets_too() -> None:
    decoder = DecoderConfig(kind="mnsa", channels=8)
    wide = network(decoder, WIDEST, "test_vit").eval()
    assert wide.decoder is not None
    x = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    levels = wide.encoder(x)
    with torch.no_grad(), capture_shared_maps(wide.decoder) as shared:
        run_decoder(wide.decoder, levels, x)
    config = narrow(decoder, random_widths(2))
    plain, fed = DecoderSubnet(wide.decoder, config), DecoderSubnet(wide.decoder, config, reuse_maps=True)
    plain.module.eval()
    fed.module.eval()
    expected = plain(plain.weights() | plain.buffers(), levels, x)[0]
    assert torch.allclose(fed(fed.weights() | fed.buffers(), [x], x, shared)[0], expected, rtol=1e-5, atol=1e-5)


def test_wider_or_other_decoders_are_rejected() -> None:
    wide = network(DECODERS["efficient"], random_widths(0)).decoder
    unet = network(DecoderConfig(kind="unet", channels=8), NONE).decoder
    assert wide is not None and unet is not None
    with pytest.raises(ValueError, match="cannot be cut from"):
        DecoderSubnet(wide, narrow(DECODERS["efficient"], WidthsConfig(deform3=1.0)))
    other = narrow(DECODERS["efficient"], NONE).model_copy(update={"channels": 4})
    with pytest.raises(ValueError, match="cannot be cut from"):
        DecoderSubnet(wide, other)
    with pytest.raises(ValueError, match="only an MNSA decoder"):
        DecoderSubnet(unet, narrow(DECODERS["efficient"], NONE))


@pytest.mark.parametrize(
    ("name", "change", "part"),
    [
        ("published", {"deform_kernel": 3}, "enhancers.0.branches.deform5.conv"),
        ("published", {"dilation": 6}, "enhancers.0.branches.atrous3"),
        ("published", {"supervise": True}, "sides.heads.0"),
        ("supervised", {"supervise": False}, "sides.heads.0"),
        ("published", {"channels": 12}, "`center.1` differs"),
        ("efficient", {"channels": 0}, ""),
        ("efficient", {"detail": 0}, "detail=4"),
        ("published", {"kind": "unet"}, "from mnsa"),
    ],
)
def test_a_config_of_another_structure_is_rejected(name: str, change: dict[str, object], part: str) -> None:
    wide = network(DECODERS[name], WIDEST).decoder
    assert wide is not None
    other = narrow(DECODERS[name], random_widths(0).model_copy(update={"deform5": 0.25, "atrous3": 0.25}))
    DecoderSubnet(wide, other)
    with pytest.raises(ValueError, match=f"cannot be cut .*{part}"):
        DecoderSubnet(wide, other.model_copy(update=change))


def test_unused_branch_settings_do_not_change_the_structure() -> None:
    wide = network(DECODERS["published"], WIDEST).decoder
    assert wide is not None
    config = narrow(DECODERS["published"], NONE)
    other = config.model_copy(update={"deform_kernel": 7, "dilation": 6})
    assert DecoderSubnet(wide, other).parameters == DecoderSubnet(wide, config).parameters
