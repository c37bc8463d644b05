"""Mixup and CutMix: batches whose images are blends of two, with labels in the same shares."""

import torch
from torchvision.transforms import v2

from ..data.dataset import Batch
from .trial_config import TrainConfig


class BatchMixer:
    """Mixup (arXiv 1710.09412) or CutMix (arXiv 1905.04899) of each batch, both torchvision's.

    If both are on, each batch draws one of them. An image is mixed with its predecessor in the
    batch; the share comes from Beta(alpha, alpha). Random numbers come from torch's global
    generator. Masks are not mixed.
    """

    def __init__(self, config: TrainConfig, num_classes: int) -> None:
        kinds = ((v2.MixUp, config.mixup), (v2.CutMix, config.cutmix))
        self._mixings = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha]

    @property
    def active(self) -> bool:
        """Whether batches are mixed at all."""
        return bool(self._mixings)

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with mixed images and labels ``(B, N)`` of probabilities.

        Without mixing it is returned as it is.
        """
        if not self._mixings:
            return batch
        mixing = self._mixings[int(torch.randint(len(self._mixings), ()))]
        image_BCHW, label_BN = mixing(batch.image_BCHW, batch.label_B)
        return batch._replace(image_BCHW=image_BCHW, label_B=label_BN)
