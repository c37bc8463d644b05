import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from venation.models.build import build_network
from venation.models.ensemble_network import Ensemble, build_ensemble, mean_label_logits, mean_mask_logits
from venation.models.network_config import DecoderConfig, EncoderConfig, NetworkConfig

NONE = DecoderConfig()
UNET = DecoderConfig(kind="unet", channels=8)


def config(encoder: str = "test_resnet", decoder: DecoderConfig = NONE) -> NetworkConfig:
    return NetworkConfig(encoder=EncoderConfig(name=encoder), decoder=decoder, num_classes=3, size=(32, 48))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


def test_softmax_of_the_mean_logits_is_the_weighted_mean_of_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    logits = [rng.normal(0, 8, (5, 4)) for _ in range(3)]
    mean = mean_label_logits([torch.from_numpy(part) for part in logits], (0.5, 0.3, 0.2))
    expected = sum(share * softmax(part, axis=1) for share, part in zip((0.5, 0.3, 0.2), logits, strict=True))
    assert np.allclose(softmax(mean.numpy(), axis=1), expected, atol=1e-12)


def test_sigmoid_of_the_mean_mask_logits_is_the_mean_probability_even_at_large_logits() -> None:
    logits = [np.array([[[[-60.0, 3.0, 40.0, 0.0]]]]), np.array([[[[-50.0, -1.0, 45.0, 0.0]]]])]
    mean = mean_mask_logits([torch.from_numpy(part) for part in logits], (1.0, 1.0)).numpy()
    assert np.isfinite(mean).all()
    assert np.allclose(expit(mean), (expit(logits[0]) + expit(logits[1])) / 2, atol=1e-12)


def test_masks_of_several_sizes_are_averaged_at_the_largest() -> None:
    small, large = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 4, 4), -1.0)
    mean = mean_mask_logits([small, large], (1.0, 3.0))
    assert mean.shape == (1, 1, 4, 4)
    assert torch.allclose(mean.sigmoid(), torch.full_like(large, (expit(2.0) + 3 * expit(-1.0)) / 4))


def test_an_ensemble_of_one_returns_its_members_logits() -> None:
    logits = torch.randn(2, 3)
    assert mean_label_logits([logits], (1.0,)) is logits


def test_an_ensemble_returns_the_mean_of_its_members(images: torch.Tensor) -> None:
    first, other = build_network(config(decoder=UNET)).eval(), build_network(config("resnet10t")).eval()
    wide = DecoderConfig(kind="unet", channels=16, full_size=True)
    second = build_network(config(decoder=wide)).eval()
    for own, borrowed in zip(second.encoder.parameters(), first.encoder.parameters(), strict=True):
        own.data.copy_(borrowed.data)
    ensemble = Ensemble(
        first, others=[other], masks=[second], label_weights=(0.75, 0.25), mask_weights=(0.5, 0.5)
    ).eval()
    with torch.inference_mode():
        answer, a, b, c = (network(images) for network in (ensemble, first, other, second))
    expected = 0.75 * a.logits_BN.softmax(1) + 0.25 * b.logits_BN.softmax(1)
    assert torch.allclose(answer.logits_BN.softmax(1), expected, atol=1e-6)
    assert torch.equal(answer.features_BC, torch.cat([a.features_BC, b.features_BC], dim=1))
    resized = torch.nn.functional.interpolate(a.mask_logits_B1HW, (32, 48), mode="bilinear")
    mean = (resized.sigmoid() + c.mask_logits_B1HW.sigmoid()) / 2
    assert torch.allclose(answer.mask_logits_B1HW.sigmoid(), mean, atol=1e-6)
    assert ensemble.label_members() == (ensemble, other)


def test_whole_members_give_label_and_mask(images: torch.Tensor) -> None:
    parts = config(decoder=UNET), config("resnet10t", DecoderConfig(kind="unet", channels=8, full_size=True))
    shares = {"label_weights": (0.75, 0.25), "mask_weights": (0.75,)}
    built = build_ensemble(parts[0], others=[parts[1]], masks=[], whole=True, **shares).eval()
    first, other = (build_network(part).eval() for part in parts)
    made = Ensemble(first, others=[other], **shares).eval()
    built.load_state_dict(made.state_dict())
    with torch.inference_mode():
        answer, again, a, b = (network(images) for network in (made, built, first, other))
    assert torch.allclose(answer.logits_BN.softmax(1), 0.75 * a.logits_BN.softmax(1) + 0.25 * b.logits_BN.softmax(1))
    resized = torch.nn.functional.interpolate(a.mask_logits_B1HW, (32, 48), mode="bilinear")
    mean = 0.75 * resized.sigmoid() + 0.25 * b.mask_logits_B1HW.sigmoid()
    assert torch.allclose(answer.mask_logits_B1HW.sigmoid(), mean, atol=1e-6)
    assert torch.equal(again.mask_logits_B1HW, answer.mask_logits_B1HW)


def test_an_ensemble_can_skip_its_decoders(images: torch.Tensor) -> None:
    ensemble = Ensemble(build_network(config(decoder=UNET)), others=[build_network(config())], label_weights=(1, 1))
    assert ensemble.eval()(images, segment=False).mask_logits_B1HW is None


def test_the_weights_of_an_ensemble_fit_one_built_from_its_configs(images: torch.Tensor) -> None:
    first, other, masks = config(decoder=UNET), config("resnet10t"), config(decoder=DecoderConfig(kind="unet"))
    shares = {"label_weights": (0.5, 0.5), "mask_weights": (0.5, 0.5)}
    made = Ensemble(build_network(first), others=[build_network(other)], masks=[build_network(masks)], **shares).eval()
    built = build_ensemble(first, others=[other], masks=[masks], **shares)
    built.load_state_dict(made.state_dict())
    with torch.inference_mode():
        said, again = made(images), built.eval()(images)
    assert torch.equal(said.logits_BN, again.logits_BN) and torch.equal(said.mask_logits_B1HW, again.mask_logits_B1HW)
    # The first member's weights keep their names; encoders of further decoders are not stored.
    assert build_network(first).state_dict().keys() <= made.state_dict().keys()
    assert not [name for name in made.state_dict() if name.startswith("masks.") and "encoder" in name]
