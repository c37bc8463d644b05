"""Flips against single passes over mirrored images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.data.manifest import Sample
from venation.models.network import MultitaskNetwork
from venation.models.network_config import DecoderConfig
from venation.trials.boost import BoostData, fit_booster
from venation.trials.evaluate import collect_outcomes
from venation.trials.features import Features
from venation.trials.flip_average import average_flips
from venation.trials.flips import NO_FLIPS, trained_flips
from venation.trials.predict import Predictor
from venation.trials.trial_config import BoostConfig

CPU = torch.device("cpu")
CLASSES = ("level", "slant", "upright")
Make = Callable[..., MultitaskNetwork]
Parts = tuple[list[Sample], list[Sample]]


@pytest.mark.parametrize(
    ("hflip", "vflip", "flips"),
    [
        (0.0, 0.0, NO_FLIPS),
        (0.5, 0.0, ((), (3,))),
        (0.0, 0.1, ((), (2,))),
        (0.5, 0.5, ((), (3,), (2,), (3, 2))),
    ],
)
def test_only_flips_used_in_training_are_averaged(hflip: float, vflip: float, flips: tuple) -> None:
    assert trained_flips(DataConfig(hflip=hflip, vflip=vflip)) == flips


def test_outputs_are_means_over_mirror_images(make_network: Make, unet: DecoderConfig) -> None:
    network = make_network(decoder=unet).eval()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = average_flips(network, x, flips=((), (3,), (2,), (3, 2)))
        probabilities, masks = [], []
        for dims in ([], [3], [2], [2, 3]):
            output = network(x.flip(dims))
            probabilities.append(output.logits_BN.softmax(1).numpy())
            masks.append(output.mask_logits_B1HW.flip(dims).numpy())
        turned = average_flips(network, x.flip(3), flips=((), (3,), (2,), (3, 2)))
    np.testing.assert_allclose(found.probability_BN.numpy(), np.mean(probabilities, axis=0), atol=1e-6)
    np.testing.assert_allclose(found.mask_logits_B1hw.numpy(), np.mean(masks, axis=0), atol=1e-5)
    # A mirrored image has the same label and the mirrored mask, which single passes do not give.
    np.testing.assert_allclose(turned.probability_BN.numpy(), found.probability_BN.numpy(), atol=1e-6)
    np.testing.assert_allclose(turned.mask_logits_B1hw.flip(3).numpy(), found.mask_logits_B1hw.numpy(), atol=1e-5)
    assert np.abs(probabilities[0] - probabilities[1]).max() > 1e-4


def test_booster_probabilities_are_means_over_flips(make_network: Make) -> None:
    network = make_network().eval()
    rng = np.random.default_rng(0)
    width = network.encoder.out_channels[-1]
    label = rng.integers(0, 3, 30)
    features = Features(
        (rng.normal(size=(30, width)) + label[:, None]).astype(np.float32), label, np.full((30, 3), 1 / 3, np.float32)
    )
    fit = fit_booster(BoostData(features, features), BoostConfig(rounds=5), num_classes=3)
    list(fit)
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = average_flips(network, x, flips=((), (3,))).class_probabilities(fit.booster)
        plain = [fit.booster.predict(network(image).features_BC.numpy()) for image in (x, x.flip(3))]
    np.testing.assert_allclose(found, np.mean(plain, axis=0), atol=1e-6)
    assert np.abs(plain[0] - plain[1]).max() > 1e-5


def test_prediction_and_evaluation_use_the_same_flips(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    config = DataConfig(size=32, hflip=0.5, vflip=0.5)
    network = make_network()
    samples = parts[1]
    loader = make_loader(LeafDataset(samples, CLASSES, config, train=False), batch_size=4, train=False, seed=0)
    outcomes = collect_outcomes(network, loader, device=CPU, segment=False, flips=trained_flips(config)).labels
    flipped = list(Predictor(network, CLASSES, config, flips=True).predict([sample.image for sample in samples]))
    plain = list(Predictor(network, CLASSES, config).predict([sample.image for sample in samples]))
    np.testing.assert_allclose([p.probability for p in flipped], outcomes.confidence_I, rtol=1e-5)
    assert [p.label for p in flipped] == [CLASSES[at] for at in outcomes.predicted_I]
    assert [p.probability for p in flipped] != [p.probability for p in plain]
