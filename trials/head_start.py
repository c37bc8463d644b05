"""Start a network's head from the linear probe of its pretrained features."""

import numpy as np
import torch

from ..data.dataset import LeafDataset
from ..errors import DataError, UsageError
from ..models.network import MultitaskNetwork
from .blanked import blank_weights
from .features import join, pool_features
from .probe import fit_probe


def start_head(network: MultitaskNetwork, dataset: LeafDataset, device: torch.device) -> None:
    """Make the head the logistic regression on the features of the training images.

    The features are those of evaluation: BatchNorm's running statistics, unchanged images. With a
    random head, the first steps distort pretrained features (Kumar et al., arXiv 2202.10054, linear
    probing, then fine-tuning). The regression also sees what training shows: mirrored images if it
    flips them, and images whose background is blanked, with a weight that makes their share the
    training's; an image without a mask counts once, whatever that share is.

    Raises UsageError for a network with a plug-in module, DataError for images of one class only.
    """
    if network.head is None:
        raise UsageError("train.head_start=probe needs the pooled head: set plugin.width=0")
    if len(set(dataset.labels)) < 2:
        raise DataError("train.head_start=probe needs training images of two classes: add some, or set it to random")
    share = dataset.config.blank
    has_mask_N = np.array([sample.mask is not None for sample in dataset.images])
    kept, added = blank_weights(share)
    views = [(dataset.without_changes(), np.where(has_mask_N, kept, 1.0))]
    blanked = dataset.blanked() if share else None
    if blanked is not None:
        views.append((blanked, np.full(len(blanked), added)))
    parts, weights = [], []
    for seen, weight_N in views:
        for mirrored in (False, True) if dataset.config.hflip else (False,):
            parts.append(pool_features(network, seen, device, mirrored=mirrored))
            weights.append(weight_N)
    probe = fit_probe(join(*parts), num_classes=network.num_classes, weight_N=np.concatenate(weights))
    probe.copy_to(network)
