"""Which trials of a study answer better together: greedy selection on the validation part; and their common heat map.

Shapes: I images, N classes, B batch, h w a map's size.
"""

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import Batch
from ..models.ensemble_network import Ensemble, mean_mask_logits
from ..models.network import MultitaskNetwork
from .evaluate import label_metrics
from .heat import class_heat
from .mask_counts import count_masks, mask_outcomes
from .metrics import Ints

Probabilities = NDArray[np.float32]


def select_members(
    count: int, score: Callable[[tuple[int, ...]], float], *, most: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Up to ``most`` of the candidates 0 to ``count - 1``, of which 0 is the best alone, and the score of each step.

    Forward selection of Caruana et al. 2004, "Ensemble Selection from Libraries of Models", section 2, without
    replacement and so with equal weights: weights that a study's few validation images choose are chosen by their
    noise. ``score`` takes the members' indices, larger is better. A candidate joins only where it improves the score
    (the earlier of equals), so the result is never below the first alone.
    """
    chosen: tuple[int, ...] = (0,)
    scores = [score(chosen)]
    while len(chosen) < min(most, count):
        tried = {index: score((*chosen, index)) for index in range(count) if index not in chosen}
        best = max(tried, key=lambda index: (tried[index], -index))
        if not tried[best] > scores[-1]:
            break
        chosen = (*chosen, best)
        scores.append(tried[best])
    return chosen, tuple(scores)


@torch.inference_mode()
def class_probabilities(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device
) -> tuple[Probabilities, Ints]:
    """What ``network`` says of every image's label ``(I, N)``, and the labels; it ends up in eval mode."""
    network.to(device).eval()
    probabilities, labels = [], []
    for batch in loader:
        output = network(batch.image_BCHW.to(device), segment=False)
        probabilities.append(output.logits_BN.float().softmax(dim=1).cpu().numpy())
        labels.append(batch.label_B.cpu().numpy())
    return np.concatenate(probabilities), np.concatenate(labels)


@torch.inference_mode()
def mask_logits(network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device) -> list[Tensor]:
    """What ``network`` says of every image's mask, logits ``(B, 1, h, w)`` a batch, on the CPU; in eval mode then."""
    network.to(device).eval()
    return [network(batch.image_BCHW.to(device)).mask_logits_B1HW.float().cpu() for batch in loader]


def mean_label_metrics(said: Sequence[Probabilities], label_I: Ints) -> dict[str, float]:
    """The label metrics of the mean of several members' probabilities."""
    return label_metrics(np.mean(said, axis=0), label_I)


def mean_mask_metrics(said: Sequence[Sequence[Tensor]], loader: Iterable[Batch]) -> dict[str, float]:
    """The mask metrics of the mean of several members' mask probabilities, over the same batches."""
    counted = []
    for logits, batch in zip(zip(*said, strict=True), loader, strict=True):
        if bool(batch.has_mask_B.any()):
            mean_B1hw = mean_mask_logits(logits, [1.0] * len(logits))
            counted.append(count_masks(mean_B1hw, batch, boundaries=False))
    outcomes = mask_outcomes(counted)
    return {name: metric(outcomes) for name, metric in outcomes.metrics().items()}


class LevelTap:
    """Keeps what the encoder of every network that votes on the label makes of the first batch while it is open."""

    def __init__(self, network: MultitaskNetwork, *, wanted: bool = True) -> None:
        self.members = network.label_members() if isinstance(network, Ensemble) else (network,)
        self.weights = network.label_weights if isinstance(network, Ensemble) else (1.0,)
        self.levels: list[list[Tensor]] = [[] for _ in self.members]
        self._wanted = wanted

    def __enter__(self) -> Self:
        pairs = zip(self.members, self.levels, strict=True) if self._wanted else ()
        self._hooks = [member.encoder.register_forward_hook(_keep_in(levels)) for member, levels in pairs]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()


def mean_heat(tap: LevelTap, class_B: Tensor) -> Tensor:
    """Where the members see the class of each image, on the whole: the weighted mean of their heat maps ``(B, h, w)``.

    The maps are brought to the largest one's size; see ``class_heat`` for a single one.
    """
    heats = [class_heat(*pair, class_B) for pair in zip(tap.members, tap.levels, strict=True)]
    if len(heats) == 1:
        return heats[0]
    size = max((tuple(heat_Bhw.shape[-2:]) for heat_Bhw in heats), key=lambda side: side[0] * side[1])
    resized = [F.interpolate(heat_Bhw[:, None], size, mode="bilinear")[:, 0] for heat_Bhw in heats]
    return torch.stack([share * heat for share, heat in zip(tap.weights, resized, strict=True)]).sum(dim=0)


def _keep_in(levels: list[Tensor]) -> Callable[[object, object, list[Tensor]], None]:
    def keep(module: object, given: object, output: list[Tensor]) -> None:
        # The first pass is the image as it is; its mirror images come after it.
        if not levels:
            levels.extend(output)

    return keep
