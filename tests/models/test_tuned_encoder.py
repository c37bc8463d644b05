"""The decoder that trains a copy of the base's encoder."""

import pytest
import torch

from venation.models.build import build_network
from venation.models.ensemble_network import Ensemble
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig
from venation.models.tuned_encoder import TunedEncoderDecoder


def make_network(
    *, kind: str = "unet", detail: int = 4, tune: bool = True, name: str = "test_resnet"
) -> MultitaskNetwork:
    decoder = DecoderConfig(kind=kind, channels=8, full_size=True, detail=detail, tune_encoder=tune)
    torch.manual_seed(0)
    return build_network(NetworkConfig(encoder=EncoderConfig(name=name), decoder=decoder, num_classes=3, size=(32, 32)))


def image() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("detail", [0, 4])
@pytest.mark.parametrize("kind", ["unet", "mnsa", "smp_unet"])
def test_started_from_the_base_it_draws_what_the_plain_decoder_draws(kind: str, detail: int) -> None:
    tuned, plain = (
        make_network(kind=kind, detail=detail).eval(),
        make_network(kind=kind, detail=detail, tune=False).eval(),
    )
    assert isinstance(tuned.decoder, TunedEncoderDecoder) and plain.decoder is not None
    plain.encoder.load_state_dict(tuned.encoder.state_dict())
    plain.decoder.load_state_dict(tuned.decoder.decoder.state_dict())
    other = tuned(image()).mask_logits_B1HW
    tuned.decoder.start_from(tuned.encoder)
    with torch.no_grad():
        expected = plain(image()).mask_logits_B1HW
        torch.testing.assert_close(tuned(image()).mask_logits_B1HW, expected)
    assert not torch.allclose(other, expected)


def test_the_mask_trains_the_copy_and_never_the_base() -> None:
    network = make_network()
    network.freeze_base()
    mask = network(image()).mask_logits_B1HW
    assert mask is not None and isinstance(network.decoder, TunedEncoderDecoder)
    mask.square().mean().backward()
    assert all(parameter.grad is None for parameter in network.encoder.parameters())
    assert all(parameter.grad is not None for parameter in network.decoder.encoder.parameters())
    assert network.decoder.encoder.training and not network.encoder.training


def test_a_frozen_base_does_not_freeze_the_copy() -> None:
    encoder = EncoderConfig(name="test_resnet", frozen=True)
    decoder = DecoderConfig(kind="unet", channels=8, tune_encoder=True)
    network = build_network(NetworkConfig(encoder=encoder, decoder=decoder, num_classes=2))
    assert isinstance(network.decoder, TunedEncoderDecoder)
    assert all(parameter.requires_grad for parameter in network.decoder.encoder.parameters())


def test_an_ensemble_draws_the_mean_of_its_members() -> None:
    first, second = make_network().eval(), make_network(kind="mnsa", tune=False).eval()
    second.encoder.load_state_dict(first.encoder.state_dict())
    both = Ensemble(first, masks=[second], mask_weights=(0.5, 0.5)).eval()
    with torch.no_grad():
        members = [network(image()).mask_logits_B1HW for network in (first, second)]
        expected = torch.stack([member.sigmoid() for member in members if member is not None]).mean(dim=0)
        found = both(image()).mask_logits_B1HW
    assert found is not None
    torch.testing.assert_close(found.sigmoid(), expected, rtol=1e-4, atol=1e-6)
