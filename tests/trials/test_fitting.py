"""Weights of other networks, against the networks that they came from and timm's own."""

from typing import Any

import pytest
import timm
import torch

from venation.errors import UserError
from venation.models.build import build_network
from venation.models.encoder_weights import matching_tensors
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.trials.fitting import adapt_tensors, decoder_tensors, load_fitting

UNET = DecoderConfig(kind="unet", channels=8)
CLASSES = ("ash", "elm", "oak")


def make(seed: int, classes: int = 3, encoder: str = "test_resnet", **parts: Any) -> MultitaskNetwork:
    torch.manual_seed(seed)
    return build_network(NetworkConfig(encoder=EncoderConfig(name=encoder), num_classes=classes, **parts)).eval()


def adapt(network: MultitaskNetwork, given: Any, *, encoder: str = "test_resnet", **options: Any) -> Any:
    names = {"classes": CLASSES, "given_classes": (), "source": "`it`"} | options
    return adapt_tensors(network, given, encoder=encoder, **names)


def test_what_fits_is_taken_and_the_rest_is_listed() -> None:
    mine, other = make(0, decoder=UNET), make(1, classes=4, decoder=DecoderConfig(kind="unet", channels=16))
    before = mine.state_dict()["head.weight"].clone()
    fitted = load_fitting(mine, other.state_dict())
    state = mine.state_dict()
    assert all(torch.equal(state[name], other.state_dict()[name]) for name in fitted.taken)
    assert torch.equal(state["head.weight"], before) and "head.weight" in fitted.fresh
    assert "head.weight (4, 512)" in fitted.left or any(name.startswith("head.weight (4,") for name in fitted.left)
    assert not [name for name in fitted.fresh if name.startswith("encoder.")]
    assert len(fitted.taken) + len(fitted.left) == len(other.state_dict())


def test_a_head_is_brought_into_the_order_of_the_classes() -> None:
    mine, other, x_BCHW = make(0), make(1), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    given = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    load_fitting(mine, adapt(mine, given, given_classes=("oak", "ash", "elm")))
    with torch.inference_mode():
        expected = other(x_BCHW).logits_BN[:, [1, 2, 0]]
        assert torch.allclose(mine(x_BCHW).logits_BN, expected, atol=1e-6)
    found = adapt(mine, given, given_classes=("oak", "ash", "fir"))
    assert not [name for name in found if name.startswith("head.")] and "gate.weigh.weight" in found


def test_weights_under_timms_names_start_the_encoder() -> None:
    torch.manual_seed(3)
    whole, mine = timm.create_model("test_resnet", num_classes=7).eval(), make(0)
    fitted = load_fitting(mine, adapt(mine, whole.state_dict()))
    x_BCHW = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(mine.encoder(x_BCHW)[-1], whole.forward_features(x_BCHW), atol=1e-5)
    assert {name.partition(".")[0] for name in fitted.taken} == {"encoder"}


@pytest.mark.parametrize("prefix", ["", "encoder.body."])
def test_half_of_an_encoder_is_refused_with_counts(prefix: str) -> None:
    mine = make(0)
    body = mine.encoder.body.state_dict()
    half = {f"{prefix}{name}": tensor for name, tensor in body.items() if "layer3" not in name and "layer4" not in name}
    needed = [name for name in body if not name.endswith("num_batches_tracked")]
    fit = [name for name in needed if f"{prefix}{name}" in half]
    with pytest.raises(UserError, match=f"^{len(fit)} of {len(needed)} tensors of test_resnet are in `it`: .*layer3"):
        adapt(mine, half)
    assert matching_tensors(body, body) == len(needed)


def test_a_decoder_alone_is_taken_or_refused() -> None:
    mine, other = make(0, decoder=UNET), make(1, decoder=UNET)
    fitted = load_fitting(mine, decoder_tensors(mine, other.state_dict(), source="`it`"))
    assert {name.partition(".")[0] for name in fitted.taken} == {"decoder"} and not fitted.left
    with pytest.raises(UserError, match="^0 of the .* tensors of this decoder are in `it`, which has 0 of a decoder"):
        decoder_tensors(mine, make(1).state_dict(), source="`it`")
