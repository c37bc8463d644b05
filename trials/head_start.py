"""Start a network's head from the linear probe of its pretrained features."""

import torch

from ..data.dataset import LeafDataset
from ..errors import DataError, UsageError
from ..models.network import MultitaskNetwork
from .features import join, pool_features
from .probe import fit_probe


def start_head(network: MultitaskNetwork, dataset: LeafDataset, device: torch.device) -> None:
    """Make the head the logistic regression on the features of the training images.

    The features are those of evaluation: unchanged images, BatchNorm's running statistics. With a
    random head, the first steps distort pretrained features (Kumar et al., arXiv 2202.10054, linear
    probing, then fine-tuning). If training blanks backgrounds, the regression also sees every image
    that has a mask with its background blanked.

    Raises UsageError for a network with a plug-in module, DataError for images of one class only.
    """
    if network.head is None:
        raise UsageError("train.head_start=probe needs the pooled head: set plugin.width=0")
    if len(set(dataset.labels)) < 2:
        raise DataError("train.head_start=probe needs training images of two classes: add some, or set it to random")
    features = pool_features(network, dataset.without_changes(), device)
    blanked = dataset.blanked() if dataset.config.blank else None
    if blanked is not None:
        features = join(features, pool_features(network, blanked, device))
    fit_probe(features, num_classes=network.num_classes).copy_to(network)
