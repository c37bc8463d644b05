"""Greedy ensemble selection on the validation split, and the mean heat map of an ensemble.

Shapes: I images, N classes, B batch, K maps of mask logits, h w the size of a map.
"""

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..data.batch import Batch, WindowBatch, image_labels
from ..models.ensemble_network import Ensemble, mean_mask_logits
from ..models.memory_format import place
from ..models.network import MultitaskNetwork
from .evaluate import label_metrics
from .heat import class_heat
from .image_means import ImageMeans
from .kinds import REFERENCE_IOU
from .mask_counts import MaskCounter
from .metrics import Ints

Probabilities = NDArray[np.float32]
# A metric alone, or with one that decides between equals.
Score = TypeVar("Score", float, tuple[float, float])


def select_members(
    count: int, score: Callable[[tuple[int, ...]], Score], *, limit: int
) -> tuple[tuple[int, ...], tuple[Score, ...]]:
    """Select up to ``limit`` of ``count`` candidates; return them and the score after each step.

    Candidate 0 is the best single one. Forward selection of Caruana et al. 2004, "Ensemble
    Selection from Libraries of Models", section 2, without replacement and thus with equal weights:
    weights fitted on a study's few validation images would fit their noise. ``score`` takes the
    members' indices; larger is better, and of a pair the first value counts first. A candidate
    joins only if it improves the score (the earlier of equals), so the result is never below
    candidate 0 alone.
    """
    chosen: tuple[int, ...] = (0,)
    scores = [score(chosen)]
    while len(chosen) < min(limit, count):
        scores_with = {index: score((*chosen, index)) for index in range(count) if index not in chosen}
        best = max(scores_with, key=lambda index: (scores_with[index], -index))
        if not scores_with[best] > scores[-1]:
            break
        chosen = (*chosen, best)
        scores.append(scores_with[best])
    return chosen, tuple(scores)


@torch.inference_mode()
def class_probabilities(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device
) -> tuple[Probabilities, Ints]:
    """Return the class probabilities ``(I, N)`` and labels of all images.

    The network stays in eval mode.
    """
    place(network, device).eval()
    probabilities, labels = ImageMeans(), []
    for batch in loader:
        output = network(batch.image_BCHW.to(device), segment=False)
        probabilities.add(output.logits_BN.float().softmax(dim=1), batch)
        labels.append(image_labels(batch).numpy())
    return probabilities.rows(), np.concatenate(labels)


@torch.inference_mode()
def mask_logits(network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device) -> list[Tensor]:
    """Return the mask logits ``(B, K, h, w)`` of every batch, on the CPU.

    Those of windows are float16, because whole images may be large. The network stays in eval mode.
    """
    place(network, device).eval()
    logits = []
    for batch in loader:
        dtype = torch.float16 if isinstance(batch, WindowBatch) else torch.float32
        logits.append(network(batch.image_BCHW.to(device)).mask_logits_B1HW.to("cpu", dtype))
    return logits


def mean_label_metrics(probabilities: Sequence[Probabilities], label_I: Ints) -> dict[str, float]:
    """Return the label metrics of the mean of several members' probabilities."""
    return label_metrics(np.mean(probabilities, axis=0), label_I)


def mean_mask_metrics(members: Sequence[Sequence[Tensor]], loader: Iterable[Batch]) -> dict[str, float]:
    """Return the mask metrics of the mean of several members' mask probabilities.

    ``loader`` must yield the batches of ``members``.
    """
    counter = MaskCounter(boundaries=False)
    for logits, batch in zip(zip(*members, strict=True), loader, strict=True):
        if bool(batch.has_mask_B.any()):
            mean_B1hw = mean_mask_logits([part.float() for part in logits], [1.0] * len(logits))
            counter.add(mean_B1hw, batch)
    outcomes = counter.outcomes()
    assert outcomes is not None
    values = {name: metric(outcomes) for name, metric in outcomes.metrics().items()}
    references = counter.reference_ious()
    return values | ({REFERENCE_IOU: float(references.mean())} if len(references) else {})


class LevelRecorder:
    """Records the encoder levels of every label network for the first batch while it is open."""

    def __init__(self, network: MultitaskNetwork, *, enabled: bool = True) -> None:
        self.members = network.label_members() if isinstance(network, Ensemble) else (network,)
        self.weights = network.label_weights if isinstance(network, Ensemble) else (1.0,)
        self.levels: list[list[Tensor]] = [[] for _ in self.members]
        self._enabled = enabled

    def __enter__(self) -> Self:
        pairs = zip(self.members, self.levels, strict=True) if self._enabled else ()
        self._hooks = [member.encoder.register_forward_hook(_record_into(levels)) for member, levels in pairs]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()


def mean_heat(recorder: LevelRecorder, class_B: Tensor) -> Tensor:
    """Return the weighted mean of the members' heat maps ``(B, h, w)`` for each image's class.

    Maps are resized to the largest; see ``class_heat`` for a single one.
    """
    heats = [class_heat(*pair, class_B) for pair in zip(recorder.members, recorder.levels, strict=True)]
    if len(heats) == 1:
        return heats[0]
    size = max((tuple(heat_Bhw.shape[-2:]) for heat_Bhw in heats), key=lambda side: side[0] * side[1])
    resized = [F.interpolate(heat_Bhw[:, None], size, mode="bilinear")[:, 0] for heat_Bhw in heats]
    return torch.stack([share * heat for share, heat in zip(recorder.weights, resized, strict=True)]).sum(dim=0)


def _record_into(levels: list[Tensor]) -> Callable[[object, object, list[Tensor]], None]:
    def record(module: object, given: object, output: list[Tensor]) -> None:
        # The first pass is the original image; flipped images follow.
        if not levels:
            levels.extend(output)

    return record
