import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, NetworkConfig, PluginConfig
from venation.trials.errors import TrialFailed
from venation.trials.features import Features
from venation.trials.probe import fit_probe

Floats = NDArray[np.float32]


def make_features(classes: int, *, images: int = 60, width: int = 12, seed: int = 0) -> Features:
    """Return features of ``classes`` overlapping clusters, on scales from 0.01 to 100."""
    rng = np.random.default_rng(seed)
    y = np.arange(images) % classes
    x = rng.normal(size=(images, width)) + rng.normal(size=(classes, width))[y]
    scaled = (x * np.logspace(-2, 2, width) + 3).astype(np.float32)
    return Features(scaled, y, np.full((images, classes), 1 / classes, np.float32))


def sklearn_probabilities(features: Features, x: Floats) -> Floats:
    """Return the probabilities of scikit-learn's own pipeline."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=5000, tol=1e-9))
    return pipeline.fit(features.x.astype(np.float64), features.y).predict_proba(x.astype(np.float64))


@pytest.mark.parametrize(("classes", "images", "width"), [(5, 60, 12), (2, 60, 12), (4, 20, 40)])
def test_probe_is_the_pipeline_of_scikit_learn(classes: int, images: int, width: int) -> None:
    train = make_features(classes, images=images, width=width)
    other = make_features(classes, images=images, width=width, seed=1)
    found = fit_probe(train, num_classes=classes).probabilities(other.x)
    np.testing.assert_allclose(found, sklearn_probabilities(train, other.x), atol=1e-5)


def test_constant_features_have_no_weight_and_do_not_explode() -> None:
    clean = make_features(3)
    # Constant up to float32 rounding: the last bits differ from image to image.
    noise = np.float32(1000) + np.spacing(np.float32(1000)) * np.random.default_rng(0).integers(0, 2, 60)
    x = np.column_stack([clean.x, np.full(60, 7.0), noise]).astype(np.float32)
    probe = fit_probe(Features(x, clean.y, clean.probabilities), num_classes=3)
    np.testing.assert_allclose(probe.weight_CK[-2:], 0, atol=1e-3)
    found = probe.probabilities(x + np.float32([0] * 12 + [0.01, 0.001]))
    np.testing.assert_allclose(found, sklearn_probabilities(clean, clean.x), atol=1e-3)


def test_class_without_an_image_gets_a_negligible_probability() -> None:
    train = make_features(3)
    found = fit_probe(train, num_classes=5).probabilities(train.x)
    assert found[:, 3:].max() < 1e-6
    np.testing.assert_allclose(found[:, :3], sklearn_probabilities(train, train.x), atol=1e-5)


def test_head_of_a_network_holds_the_probe() -> None:
    network = build_network(NetworkConfig(encoder=EncoderConfig(name="test_resnet"), gate="none", num_classes=4))
    network.eval()
    images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        x = network(images).features_BC.numpy()
    features = Features(x, np.arange(24) % 4, np.zeros((24, 4), np.float32))
    probe = fit_probe(features, num_classes=4)
    probe.copy_to(network)
    with torch.inference_mode():
        answer = network(images).logits_BN.softmax(dim=1).numpy()
    np.testing.assert_allclose(answer, sklearn_probabilities(features, x), atol=1e-5)


def test_network_that_cannot_hold_the_probe_is_refused() -> None:
    probe = fit_probe(make_features(3), num_classes=3)
    encoder = EncoderConfig(name="test_resnet")
    with pytest.raises(ValueError, match="the head is"):
        probe.copy_to(build_network(NetworkConfig(encoder=encoder, gate="none", num_classes=3)))
    plugin = PluginConfig(width=8, keep=(0.5, 0.5), joint=4)
    with pytest.raises(ValueError, match="no pooled head"):
        probe.copy_to(build_network(NetworkConfig(encoder=encoder, plugin=plugin, num_classes=3, size=(64, 64))))


def test_features_that_are_not_finite_are_refused() -> None:
    train = make_features(3)
    train.x[0, 0] = np.nan
    with pytest.raises(TrialFailed, match="not finite"):
        fit_probe(train, num_classes=3)
