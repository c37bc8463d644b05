"""Greedy ensemble selection against plain loops, and the metrics and heat maps of ensembles."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from venation.data.dataset import Batch
from venation.models.build import build_network
from venation.models.ensemble_network import Ensemble
from venation.models.network_config import EncoderConfig, NetworkConfig
from venation.trials.greedy_ensemble import (
    LevelRecorder,
    mean_heat,
    mean_label_metrics,
    mean_mask_metrics,
    select_members,
)
from venation.trials.heat import class_heat


def test_a_member_joins_only_if_it_improves_the_score() -> None:
    table = {(0,): 0.8, (0, 1): 0.8, (0, 2): 0.85, (0, 3): 0.85, (0, 2, 1): 0.84, (0, 2, 3): 0.9}
    table |= {(0, 2, 3, 1): 0.9}
    chosen, scores = select_members(4, table.__getitem__, limit=4)
    # Ties go to the earlier candidate; one that only equals the best does not join.
    assert chosen == (0, 2, 3) and scores == (0.8, 0.85, 0.9)
    assert select_members(4, table.__getitem__, limit=2) == ((0, 2), (0.8, 0.85))


def test_the_second_metric_decides_between_equals() -> None:
    table = {(0,): (0.8, -0.5), (0, 1): (0.8, -0.6), (0, 2): (0.9, -0.7), (0, 3): (0.9, -0.4)}
    table |= {(0, 3, 1): (0.9, -0.5), (0, 3, 2): (0.9, -0.3), (0, 3, 2, 1): (0.8, -0.1)}
    chosen, scores = select_members(4, table.__getitem__, limit=4)
    assert chosen == (0, 3, 2) and scores == ((0.8, -0.5), (0.9, -0.4), (0.9, -0.3))


def test_no_candidate_joins_without_an_improvement() -> None:
    chosen, scores = select_members(5, lambda members: 1.0 / len(members), limit=3)
    assert chosen == (0,) and scores == (1.0,)
    assert select_members(1, lambda members: 0.5, limit=3) == ((0,), (0.5,))


def test_each_step_adds_the_best_candidate_and_never_lowers_the_score() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 40)
    said = rng.dirichlet((1, 1, 1), size=(6, 40))

    def score(members: tuple[int, ...]) -> float:
        return -log_loss(labels, said[list(members)].mean(axis=0))

    chosen, scores = select_members(6, score, limit=3)
    assert len(chosen) > 1 and list(scores) == sorted(set(scores))
    for step in range(1, len(chosen)):
        rivals = [score((*chosen[:step], other)) for other in range(6) if other not in chosen[:step]]
        assert scores[step] == max(rivals)


def test_label_metrics_equal_those_of_the_mean_probabilities() -> None:
    rng = np.random.default_rng(2)
    labels, said = rng.integers(0, 4, 30), rng.dirichlet((1, 1, 1, 1), size=(3, 30)).astype(np.float32)
    found = mean_label_metrics(list(said), labels)
    mean = said.mean(axis=0)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, mean.argmax(axis=1)))
    assert found["logloss"] == pytest.approx(log_loss(labels, mean / mean.sum(axis=1, keepdims=True)), rel=1e-5)


def test_mask_metrics_equal_those_of_the_mean_probability() -> None:
    rng = np.random.default_rng(3)
    masks = torch.from_numpy(rng.random((4, 1, 8, 8)) < 0.4).float()
    has = torch.tensor([True, True, False, True])
    batches = [Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2), masks[i : i + 2], has[i : i + 2]) for i in (0, 2)]
    logits = [torch.from_numpy(rng.normal(size=(4, 1, 8, 8))).float() for _ in range(2)]
    found = mean_mask_metrics([list(part.split(2)) for part in logits], batches)
    said = (sum(part.sigmoid() for part in logits) / 2).numpy()[has.numpy()] > 0.5
    true = masks.numpy()[has.numpy()] > 0
    assert found["iou"] == pytest.approx((said & true).sum() / (said | true).sum())
    assert found["dice"] == pytest.approx(2 * (said & true).sum() / (said.sum() + true.sum()))
    # The papers' figure is the mean over the batches, here of the first two images and of the last.
    batches_of = [((said[part] & true[part]).sum(), (said[part] | true[part]).sum()) for part in ([0, 1], [2])]
    assert found["iou_ref"] == pytest.approx(np.mean([both / either for both, either in batches_of]))


def test_the_heat_map_of_an_ensemble_is_the_mean_of_its_members_maps() -> None:
    config = NetworkConfig(encoder=EncoderConfig(name="test_resnet"), num_classes=3, size=(32, 32))
    networks = [build_network(config).eval() for _ in range(2)]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    classes = torch.tensor([0, 2])
    with torch.no_grad():
        expected = [class_heat(network, network.encoder(images), classes) for network in networks]
    ensemble = Ensemble(networks[0], others=networks[1:], label_weights=(0.75, 0.25)).eval()
    with torch.no_grad(), LevelRecorder(ensemble) as recorder:
        ensemble(images)
        # A later pass over mirror images changes nothing.
        ensemble(images.flip(3))
    assert torch.allclose(mean_heat(recorder, classes), 0.75 * expected[0] + 0.25 * expected[1], atol=1e-6)
    hooks = itertools.chain.from_iterable(network.encoder._forward_hooks.values() for network in networks)
    assert not list(hooks)
