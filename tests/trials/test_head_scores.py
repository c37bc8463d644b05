"""Scores of the heads of PIM and HERBS, against scikit-learn on probabilities summed by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from venation.data.batch import Batch
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig, NetworkConfig, PluginConfig
from venation.trials.evaluate import collect_outcomes
from venation.trials.head_scores import head_outcomes, head_scores

CLASSES, IMAGES, SIDE = 5, 24, 64


def softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("herbs", [False, True])
def test_every_head_is_scored_and_the_most_and_least_confident_are_summed(herbs: bool) -> None:
    torch.manual_seed(0)
    module = PluginConfig(width=8, keep=(0.5, 0.5, 0.5, 0.5), bottom_up=herbs, joint=4, ranks="mean")
    encoder = EncoderConfig(name="test_resnet")
    network = build_network(
        NetworkConfig(encoder=encoder, gate="none", plugin=module, num_classes=CLASSES, size=(SIDE, SIDE))
    ).eval()
    images, labels = torch.randn(IMAGES, 3, SIDE, SIDE), torch.arange(IMAGES) % CLASSES
    empty = torch.zeros(IMAGES, 1, SIDE, SIDE), torch.zeros(IMAGES, dtype=torch.bool)
    batches = [Batch(*(part[at : at + 8] for part in (images, labels, *empty))) for at in range(0, IMAGES, 8)]
    outcomes = collect_outcomes(network, batches, device=torch.device("cpu"), segment=False, by_head=True)
    assert outcomes.head_rows_IM is not None
    scores = head_scores(head_outcomes(outcomes.head_rows_IM, outcomes.head_names, outcomes.labels.label_I))

    with torch.no_grad():
        found = network(images).plugin
    assert found is not None
    firsts = {f"first{at}": part for at, part in enumerate(found.first_logits, 1)}
    stages = {f"level{at}": part for at, part in enumerate(found.level_logits, 1)} | firsts
    heads = {name: softmax(part.mean(dim=1).numpy()) for name, part in stages.items()}
    heads["combiner"] = softmax(found.combined_BN.numpy())
    assert len(heads) == (9 if herbs else 5)
    for name, probability in heads.items():
        assert scores[f"accuracy/{name}"].value == pytest.approx(accuracy_score(labels, probability.argmax(1)))
        top3 = top_k_accuracy_score(labels, probability, k=3, labels=range(CLASSES))
        assert scores[f"top3/{name}"].value == pytest.approx(top3)
    for count in range(1, len(heads)):
        summed = {"highest": np.zeros((IMAGES, CLASSES)), "least": np.zeros((IMAGES, CLASSES))}
        for image in range(IMAGES):
            rising = sorted(heads.values(), key=lambda each: each[image].max())
            summed["highest"][image] = sum(each[image] for each in rising[-count:])
            summed["least"][image] = sum(each[image] for each in rising[:count])
        for name, total in summed.items():
            expected = accuracy_score(labels, total.argmax(1))
            assert scores[f"accuracy/{name}-{count}"].value == pytest.approx(expected)
    assert f"accuracy/highest-{len(heads)}" not in scores
    together = sum(heads.values())
    assert outcomes.metrics()["accuracy"] == pytest.approx(accuracy_score(labels, np.argmax(together, axis=1)))


def test_a_network_without_a_module_has_no_heads() -> None:
    config = NetworkConfig(encoder=EncoderConfig(name="test_resnet"), num_classes=2, size=(32, 32))
    batch = Batch(torch.randn(2, 3, 32, 32), torch.tensor([0, 1]), torch.zeros(2, 1, 32, 32), torch.zeros(2).bool())
    outcomes = collect_outcomes(
        build_network(config).eval(), [batch], device=torch.device("cpu"), segment=False, by_head=True
    )
    assert outcomes.head_rows_IM is None and outcomes.head_names == ()
