"""What a bundle scores on labelled images."""

from collections.abc import Sequence

import numpy as np
import torch

from ..data.dataset import LeafDataset, make_loader
from ..data.manifest import Item
from ..models.network import MultitaskNetwork
from ..trials.boost import Booster
from ..trials.config import TrialConfig
from ..trials.evaluate import Score, score, score_probabilities
from ..trials.features import pool_features

BATCH_SIZE = 32


def score_parts(
    network: MultitaskNetwork,
    booster: Booster | None,
    items: Sequence[Item],
    classes: Sequence[str],
    config: TrialConfig,
    *,
    device: torch.device,
) -> dict[str, Score]:
    """Every metric that the bundle and the data allow, with 95 % intervals.

    With a booster the label metrics are the booster's, and the network head's stand beside them as ``head_*``. Where
    every image has a mask, ``accuracy_blanked`` is the accuracy with the background blanked by the mask: a network
    that lives on the background falls there.
    """
    dataset = LeafDataset(items, classes, config.data, train=False)
    loader = make_loader(dataset, batch_size=BATCH_SIZE, train=False, seed=0)
    scores = score(network.to(device), loader, device=device)
    if booster is not None:
        scores |= {f"head_{name}": scores[name] for name in ("accuracy", "logloss")}
        scores |= _label_scores(network, booster, dataset, device)
    if all(item.mask is not None for item in items):
        blanked = LeafDataset(items, classes, config.data, train=False, blank=True)
        scores["accuracy_blanked"] = _label_scores(network, booster, blanked, device)["accuracy"]
    return scores


def _label_scores(
    network: MultitaskNetwork, booster: Booster | None, dataset: LeafDataset, device: torch.device
) -> dict[str, Score]:
    features = pool_features(network, dataset, device)
    probabilities = features.probabilities if booster is None else booster.predict(features.x)
    return score_probabilities(probabilities.astype(np.float64), features.y)
