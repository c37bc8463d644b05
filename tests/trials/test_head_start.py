"""The head that starts as a linear probe, against scikit-learn on the same features."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from venation.data.dataset import LeafDataset
from venation.errors import DataError
from venation.models.network import MultitaskNetwork
from venation.trials.features import pool_features
from venation.trials.head_start import start_head

from .conftest import CONFIG
from .test_train import CLASSES, CPU, QUICK, Parts, assert_same, run

Make = Callable[..., MultitaskNetwork]
PLAIN = CONFIG.model_copy(update={"hflip": 0.0})


def test_the_head_is_scikit_learns_logistic_regression(parts: Parts, make_network: Make) -> None:
    """Random changes of the training images do not reach the features."""
    network = make_network()
    train = LeafDataset(parts[0], CLASSES, PLAIN.model_copy(update={"colour": 0.5}), train=True)
    features = pool_features(network, LeafDataset(parts[0], CLASSES, CONFIG, train=False), CPU)
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000, tol=1e-8))
    reference.fit(features.x.astype(np.float64), features.y)
    encoder = {name: tensor.clone() for name, tensor in network.encoder.state_dict().items()}
    start_head(network, train, CPU)
    held_out = pool_features(network, LeafDataset(parts[1], CLASSES, CONFIG, train=False), CPU)
    np.testing.assert_allclose(held_out.probabilities, reference.predict_proba(held_out.x), atol=2e-3)
    assert network.training
    assert_same(encoder, network.encoder.state_dict())


def test_a_fit_starts_from_it(parts: Parts, make_network: Make) -> None:
    """With a rate of almost zero and frozen statistics, the first epoch validates the probe."""
    train_set, val_set = (LeafDataset(part, CLASSES, CONFIG, train=False) for part in parts)
    seen = [pool_features(make_network(), train_set, CPU, mirrored=mirrored) for mirrored in (False, True)]
    held_out = pool_features(make_network(), val_set, CPU)
    x, y = (np.concatenate([getattr(view, name) for view in seen]) for name in "xy")
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000, tol=1e-8))
    expected = log_loss(held_out.y, reference.fit(x.astype(np.float64), y).predict_proba(held_out.x))
    config = QUICK.model_copy(update={"head_start": "probe", "frozen_bn": True, "lr": 1e-12, "epochs": 1})
    (result,) = run(make_network(), parts, config)
    assert result.metrics["logloss"] == pytest.approx(expected, rel=1e-2)


def test_a_fit_with_it_resumes_bit_for_bit(parts: Parts, make_network: Make, tmp_path: Path) -> None:
    config, path = QUICK.model_copy(update={"ema": 0.9, "head_start": "probe"}), tmp_path / "c.safetensors"
    whole = make_network()
    expected = list(run(whole, parts, config))
    cut = run(make_network(), parts, config, checkpoint=path)
    next(cut)
    cut.close()
    resumed = make_network(seed=4)
    assert [r.losses for r in run(resumed, parts, config, checkpoint=path)] == [r.losses for r in expected[1:]]
    assert_same(whole.state_dict(), resumed.state_dict())


def test_images_of_one_class_are_refused(parts: Parts, make_network: Make) -> None:
    level = [sample for sample in parts[0] if sample.label == "level"]
    with pytest.raises(DataError, match="two classes"):
        start_head(make_network(), LeafDataset(level, CLASSES, CONFIG, train=True), torch.device("cpu"))


@pytest.mark.parametrize(
    ("blank", "whole", "blanked"), [(0.2, 1.0, 0.25), (0.5, 1.0, 1.0), (0.8, 0.25, 1.0), (1.0, 0.0, 1.0)]
)
def test_the_head_sees_blanked_images_as_often_as_the_training(
    parts: Parts, make_network: Make, blank: float, whole: float, blanked: float
) -> None:
    network, config = make_network(), PLAIN.model_copy(update={"blank": blank})
    start_head(network, LeafDataset(parts[0], CLASSES, config, train=True), CPU)
    views = [
        pool_features(make_network(), LeafDataset(parts[0], CLASSES, CONFIG, train=False, blank=blank), CPU)
        for blank in (False, True)
    ]
    x, y = (np.concatenate([getattr(view, name) for view in views]) for name in "xy")
    weights = np.repeat([whole, blanked], len(parts[0]))
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000, tol=1e-8))
    reference.fit(x.astype(np.float64), y, logisticregression__sample_weight=weights)
    held_out = pool_features(network, LeafDataset(parts[1], CLASSES, CONFIG, train=False, blank=True), CPU)
    np.testing.assert_allclose(held_out.probabilities, reference.predict_proba(held_out.x), atol=2e-3)


def test_images_without_a_mask_count_where_all_others_are_blanked(parts: Parts, make_network: Make) -> None:
    train = [replace(sample, mask=None) if sample.label == "level" else sample for sample in parts[0]]
    blank = PLAIN.model_copy(update={"blank": 1.0})
    network = make_network()
    start_head(network, LeafDataset(train, CLASSES, blank, train=True), CPU)
    bare = LeafDataset([sample for sample in train if sample.mask is None], CLASSES, CONFIG, train=False)
    predicted = pool_features(network, bare, CPU)
    assert (predicted.probabilities.argmax(axis=1) == predicted.y).all()


def test_without_masks_nothing_is_blanked(parts: Parts, make_network: Make) -> None:
    bare = [replace(sample, mask=None) for sample in parts[0]]
    heads = []
    for blank in (0.0, 1.0):
        network = make_network()
        start_head(network, LeafDataset(bare, CLASSES, PLAIN.model_copy(update={"blank": blank}), train=True), CPU)
        assert network.head is not None
        heads.append(network.head.state_dict())
    assert_same(*heads)


def test_the_head_sees_mirrored_images_if_the_training_flips(parts: Parts, make_network: Make) -> None:
    network, images = make_network(), LeafDataset(parts[0], CLASSES, CONFIG, train=False)
    start_head(network, LeafDataset(parts[0], CLASSES, CONFIG.model_copy(update={"hflip": 0.5}), train=True), CPU)
    fresh = make_network().eval()
    image_NCHW = torch.stack([images[number].image_CHW for number in range(len(images))])
    with torch.no_grad():
        x = torch.cat([fresh(seen, segment=False).features_BC for seen in (image_NCHW, image_NCHW.flip(3))]).numpy()
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=5000, tol=1e-8))
    reference.fit(x.astype(np.float64), np.tile(images.labels, 2))
    held_out = pool_features(network, LeafDataset(parts[1], CLASSES, CONFIG, train=False), CPU)
    np.testing.assert_allclose(held_out.probabilities, reference.predict_proba(held_out.x), atol=2e-3)
