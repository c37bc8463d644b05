"""Several networks combined into one: the mean of their probabilities, as logits.

Shapes: B batch, N classes, C all members' features, M members, H W the image's size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .build import build_network
from .network import MultitaskNetwork, NetworkOutput
from .network_config import DecoderConfig, NetworkConfig
from .run_decoder import run_decoder


class Ensemble(MultitaskNetwork):
    """A network combined with further networks for the label, the mask, or both.

    ``others`` are whole networks; their class probabilities are averaged with this one's. ``masks``
    contribute decoders for this one's encoder: they read its levels, so an image is encoded once
    for all of them. ``others`` with a decoder of their own also give a mask.

    Logits are the logarithm of the mean class probabilities, and the log-odds of the mean mask
    probabilities (their logarithm with several mask classes). So softmax and sigmoid return the
    means, and callers need no special case.
    Features are those of all members, concatenated. Attention and selected positions are the first
    member's.

    ``label_weights`` (the first is this network's) and ``mask_weights`` are the members' weights in
    the mean; the mask of one of ``others`` has the weight of its label.
    """

    def __init__(
        self,
        first: MultitaskNetwork,
        *,
        others: Sequence[MultitaskNetwork] = (),
        masks: Sequence[MultitaskNetwork] = (),
        label_weights: Sequence[float] = (1.0,),
        mask_weights: Sequence[float] = (1.0,),
    ) -> None:
        assert len(label_weights) == 1 + len(others) and len(mask_weights) == 1 + len(masks)
        super().__init__(
            first.encoder,
            first.gate,
            first.decoder,
            num_classes=first.num_classes,
            full_size=first.full_size,
            plugin=first.plugin,
            mask_classes=first.mask_classes,
        )
        self.head = first.head
        self.others = nn.ModuleList(others)
        self.masks = nn.ModuleList([member.decoder for member in masks if member.decoder is not None])
        self._full_sizes = (first.full_size, *(member.full_size for member in masks))
        self.label_weights = tuple(label_weights)
        self._mask_weights = tuple(mask_weights)

    def label_members(self) -> tuple[MultitaskNetwork, ...]:
        """Return the networks that contribute to the label, this one first."""
        return (self, *(other for other in self.others if isinstance(other, MultitaskNetwork)))

    def forward(self, x_BCHW: Tensor, segment: bool = True) -> NetworkOutput:
        """Return the combined output for images ``(B, 3, H, W)``; without ``segment``, no mask."""
        levels = self.encoder(x_BCHW)
        answer = self.classify(levels)
        said = [other(x_BCHW, segment=segment) for other in self.others]
        logits = [answer.logits_BN, *(output.logits_BN for output in said)]
        return NetworkOutput(
            logits_BN=mean_label_logits(logits, self.label_weights),
            attention_B1hw=answer.attention_B1hw,
            mask_logits_B1HW=self._mask_logits(levels, x_BCHW, said) if segment and self.decoder is not None else None,
            features_BC=torch.cat([answer.features_BC, *(output.features_BC for output in said)], dim=1),
            plugin=answer.plugin,
        )

    def _mask_logits(self, levels: Sequence[Tensor], x_BCHW: Tensor, said: Sequence[NetworkOutput]) -> Tensor:
        logits, weights = [], list(self._mask_weights)
        for decoder, full_size in zip((self.decoder, *self.masks), self._full_sizes, strict=True):
            assert decoder is not None
            masks = run_decoder(decoder, levels, x_BCHW)
            logits.append(F.interpolate(masks[0], x_BCHW.shape[-2:], mode="bilinear") if full_size else masks[0])
        for output, weight in zip(said, self.label_weights[1:], strict=True):
            if output.mask_logits_B1HW is not None:
                logits.append(output.mask_logits_B1HW)
                weights.append(weight)
        return mean_mask_logits(logits, weights)


def build_ensemble(
    first: NetworkConfig,
    *,
    others: Sequence[NetworkConfig],
    masks: Sequence[NetworkConfig],
    label_weights: Sequence[float],
    mask_weights: Sequence[float],
    whole: bool = False,
) -> Ensemble:
    """Build the ensemble of these configs, newly initialised.

    ``others`` get decoders if they are ``whole``; of ``masks`` only the decoders are used.
    """
    none = {} if whole else {"decoder": DecoderConfig()}
    return Ensemble(
        build_network(first),
        others=[build_network(config.model_copy(update=none)) for config in others],
        masks=[build_network(config) for config in masks],
        label_weights=label_weights,
        mask_weights=mask_weights,
    )


def mean_label_logits(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the logarithm of the weighted mean class probabilities of logits ``(B, N)``."""
    if len(logits) == 1:
        return logits[0]
    share_M11 = _shares(weights, logits[0])
    log_MBN = torch.stack([part.log_softmax(dim=1) for part in logits])
    return (log_MBN + share_M11.log()).logsumexp(dim=0)


def mean_mask_logits(logits: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return logits of the weighted mean probability of members' logits ``(B, K, h, w)``.

    Of one map they are log-odds, of several the logarithms of the means; see ``mask_logits``. The
    largest member's size decides the size of the result.
    """
    if len(logits) == 1:
        return logits[0]
    size = max((tuple(part.shape[-2:]) for part in logits), key=lambda side: side[0] * side[1])
    # Half-pixel centres, as in every resize of images and masks.
    resized = [part if part.shape[-2:] == size else F.interpolate(part, size, mode="bilinear") for part in logits]
    logits_MBKHW = torch.stack(resized)
    share_M11 = _shares(weights, logits[0])[..., None, None].log()
    if logits_MBKHW.shape[2] > 1:
        return (logits_MBKHW.log_softmax(dim=2) + share_M11).logsumexp(dim=0)
    inside_B1HW = (F.logsigmoid(logits_MBKHW) + share_M11).logsumexp(dim=0)
    outside_B1HW = (F.logsigmoid(-logits_MBKHW) + share_M11).logsumexp(dim=0)
    return inside_B1HW - outside_B1HW


def _shares(weights: Sequence[float], like: Tensor) -> Tensor:
    share_M = torch.tensor(weights, dtype=like.dtype, device=like.device)
    return (share_M / share_M.sum())[:, None, None]
