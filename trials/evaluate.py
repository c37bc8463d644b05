"""One pass over a data set, then its metrics: plain for validation, with intervals for the final scoring.

Shapes: B batch, N classes, H W the image's size, h w the mask logits' size, I images, T batches.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import Batch
from ..errors import DataError
from ..models.network import MultitaskNetwork, NetworkOutput
from .losses import Task, soft_mask
from .metrics import LABEL_METRICS, MASK_METRICS, REF_EPSILON, Floats, Ints, LabelOutcomes, MaskOutcomes

RESAMPLES = 1000
_TAILS = (2.5, 97.5)

T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """A metric with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcomes:
    """What a network did on a data set; ``masks`` is None where there is nothing to segment with or against."""

    labels: LabelOutcomes
    masks: MaskOutcomes | None
    ref_T: Floats

    def metrics(self) -> dict[str, float]:
        """Every metric that the outcomes allow, by name."""
        values = {name: metric(self.labels) for name, metric in LABEL_METRICS.items()}
        if self.masks is not None:
            values |= {name: metric(self.masks) for name, metric in MASK_METRICS.items()}
            values["iou_ref"] = float(self.ref_T.mean())
        return values


def evaluate(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, task: Task
) -> dict[str, float]:
    """The metrics of one task: accuracy, top3, top5, macro_f1, logloss; or iou, dice, iou_ref and bce.

    Always in fp32 and eval mode, as predictions are made; the network's mode is put back afterwards. Raises DataError
    for a loader without images, or, to segment, without masks, and ValueError for a network without a decoder.
    """
    if task == "segment" and network.decoder is None:
        raise ValueError("the network has no decoder, so it cannot segment")
    outcomes = observe(network, loader, device=device, segment=task == "segment")
    if task == "classify":
        return outcomes.metrics()
    if outcomes.masks is None:
        raise DataError("no image of this part has a mask, and a segmentation needs some: add masks to the data")
    return {name: value for name, value in outcomes.metrics().items() if name not in LABEL_METRICS}


def score(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, seed: int = 0
) -> dict[str, Score]:
    """Every metric that network and data allow, with intervals; see ``score_outcomes``."""
    return score_outcomes(observe(network, loader, device=device, segment=network.decoder is not None), seed=seed)


def score_outcomes(outcomes: Outcomes, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Score]:
    """Metrics with 95 % percentile bootstrap intervals: images are drawn again, with replacement, seeded.

    Masks' pixel counts are drawn by image, so an interval reflects how images differ. ``iou_ref`` is a mean over
    batches by definition and draws batches.
    """
    rng = np.random.default_rng(seed)
    values = outcomes.metrics()
    label_draws = _draw(outcomes.labels.take, len(outcomes.labels.label_I), LABEL_METRICS, rng=rng, count=resamples)
    draws = dict(zip(LABEL_METRICS, label_draws.T, strict=True))
    if outcomes.masks is not None:
        count = len(outcomes.masks.actual_I)
        mask_draws = _draw(outcomes.masks.take, count, MASK_METRICS, rng=rng, count=resamples)
        draws |= dict(zip(MASK_METRICS, mask_draws.T, strict=True))
        index = rng.integers(len(outcomes.ref_T), size=(resamples, len(outcomes.ref_T)))
        draws["iou_ref"] = outcomes.ref_T[index].mean(axis=1)
    return {name: _score(value, draws[name]) for name, value in values.items()}


def score_probabilities(probability_IN: Floats, label_I: Ints, *, seed: int = 0) -> dict[str, Score]:
    """The label metrics of any classifier's probabilities, a booster's for one, with intervals."""
    labels = LabelOutcomes(probability_IN.astype(np.float64), label_I)
    return score_outcomes(Outcomes(labels, None, np.empty(0)), seed=seed)


def label_metrics(probability_IN: Floats, label_I: Ints) -> dict[str, float]:
    """The label metrics of any classifier's probabilities."""
    return Outcomes(LabelOutcomes(probability_IN.astype(np.float64), label_I), None, np.empty(0)).metrics()


@torch.inference_mode()
def observe(network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, segment: bool) -> Outcomes:
    """Run the network over a data set once and keep what the metrics need. Raises DataError for an empty loader."""
    was_training = network.training
    network.eval()
    rows: list[tuple[Tensor, ...]] = []
    masks: list[Tensor] = []
    refs: list[Tensor] = []
    for batch in loader:
        batch = Batch(*(part.to(device, non_blocking=True) for part in batch))
        output = network(batch.image_BCHW, segment=segment)
        rows.append((output.logits_BN.float().softmax(dim=1), batch.label_B))
        if output.mask_logits_B1HW is not None and bool(batch.has_mask_B.any()):
            counts, ref = _mask_counts(output, batch)
            masks.append(counts)
            refs.append(ref)
    network.train(was_training)
    if not rows:
        raise DataError("this part of the data has no images: give it some, or change the split")
    labels = LabelOutcomes(_array(torch.cat([row[0] for row in rows])), _array(torch.cat([row[1] for row in rows])))
    labels = LabelOutcomes(labels.probability_IN.astype(np.float64), labels.label_I)
    if not masks:
        return Outcomes(labels, None, np.empty(0))
    return Outcomes(labels, _mask_outcomes(torch.cat(masks)), _array(torch.stack(refs)))


def _mask_counts(output: NetworkOutput, batch: Batch) -> tuple[Tensor, Tensor]:
    """Per image with a mask (intersection, predicted, actual, bce) in float64, and the batch's reference IoU.

    Counts are taken at the mask's own resolution from bilinearly upsampled logits. The reference takes them at the
    logits' size, against every cell that the mask touches (XMNet and MNSA, section 3.4).
    """
    assert output.mask_logits_B1HW is not None
    kept_B = batch.has_mask_B
    logits_B1hw = output.mask_logits_B1HW[kept_B].float()
    mask_B1HW = batch.mask_B1HW[kept_B]
    soft_B1hw = soft_mask(mask_B1HW, logits_B1hw)
    bce_B = F.binary_cross_entropy_with_logits(logits_B1hw, soft_B1hw, reduction="none").mean(dim=(1, 2, 3))
    full_B1HW = F.interpolate(logits_B1hw, mask_B1HW.shape[-2:], mode="bilinear", align_corners=False) > 0
    columns = (*_overlap(full_B1HW, mask_B1HW > 0), bce_B.double())
    both_B, predicted_B, actual_B = _overlap(logits_B1hw > 0, soft_B1hw != 0)
    union = (predicted_B + actual_B - both_B).sum() + REF_EPSILON
    return torch.stack(columns, dim=1), (both_B.sum() + REF_EPSILON) / union


def _overlap(predicted_B1HW: Tensor, actual_B1HW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    dims = (1, 2, 3)
    both_B = (predicted_B1HW & actual_B1HW).sum(dims)
    return both_B.double(), predicted_B1HW.sum(dims).double(), actual_B1HW.sum(dims).double()


def _mask_outcomes(rows: Tensor) -> MaskOutcomes:
    columns = _array(rows).T
    both_I, predicted_I, actual_I = (column.astype(np.int64) for column in columns[:3])
    return MaskOutcomes(both_I, predicted_I, actual_I, columns[3])


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _draw(
    take: Callable[[Ints], T],
    size: int,
    metrics: dict[str, Callable[[T], float]],
    *,
    rng: np.random.Generator,
    count: int,
) -> Floats:
    """Every metric on ``count`` resamples of ``size`` images: ``(count, metrics)``."""
    rows = []
    for _ in range(count):
        resample = take(rng.integers(size, size=size))
        rows.append([metric(resample) for metric in metrics.values()])
    return np.array(rows)


def _score(value: float, draws: Floats) -> Score:
    low, high = np.percentile(draws, _TAILS)
    return Score(value, float(low), float(high))
