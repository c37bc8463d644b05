"""Evaluate a network on a data set: plain metrics for validation, intervals for final scores.

Shapes: N classes, I images, T batches.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.batch import Batch, image_labels
from ..errors import DataError
from ..models.network import MultitaskNetwork
from .device import to_device
from .flip_average import average_within_memory
from .flips import NO_FLIPS, Booster, Flip, boosted
from .image_means import ImageMeans
from .kinds import MEAN_SCORE, REFERENCE_IOU, Task, mean_score, single_tasks
from .mask_counts import MaskCounter
from .mask_metrics import MaskOutcomes
from .metrics import LABEL_METRICS, SHARES, Floats, Ints, LabelOutcomes
from .shares import share_interval

RESAMPLES = 1000
_TAILS = (2.5, 97.5)

T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """A metric with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcomes:
    """The predictions of a network on a data set, in the form that metrics need.

    ``masks`` is None without a decoder or without masks. With a booster, ``labels`` are the
    booster's predictions and ``head`` those of the network. ``head_rows_IM`` are the probabilities
    of all heads of a plug-in module, if they were asked for, and ``head_names`` name the heads.
    ``probability_IN`` are the class probabilities that ``labels`` stands for.
    """

    labels: LabelOutcomes
    masks: MaskOutcomes | None
    ref_T: Floats
    head: LabelOutcomes | None = None
    head_rows_IM: NDArray[np.float32] | None = None
    head_names: tuple[str, ...] = ()
    probability_IN: NDArray[np.floating] | None = None

    def metrics(self) -> dict[str, float]:
        """Return every metric that the outcomes allow, by name."""
        values = {name: metric(self.labels) for name, metric in self.labels.metrics().items()}
        if self.masks is not None:
            values |= {name: metric(self.masks) for name, metric in self.masks.metrics().items()}
        if len(self.ref_T):
            values[REFERENCE_IOU] = float(self.ref_T.mean())
        return values


def evaluate(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, task: Task
) -> dict[str, float]:
    """Return the metrics of one task.

    ``classify``: accuracy, top3, top5, macro_f1, logloss, ece; top3 and top5 need more classes than
    that. ``segment``: iou, iou_cells, dice, iou_ref, bce; iou_cells needs logits of another size
    than the mask. ``multitask``: all of them, and ``accuracy_iou``, the mean of accuracy and iou.
    The pass runs in fp32 and eval mode, as prediction does; the network's mode is restored. Raises
    DataError for a loader without images, or without masks for ``segment`` and ``multitask``, and
    ValueError for these two without a decoder.
    """
    return task_metrics(collect_task(network, loader, device=device, task=task), task)


def collect_task(network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, task: Task) -> Outcomes:
    """Return the outcomes that the metrics of one task need; raise as ``evaluate`` does."""
    segment = "segment" in single_tasks(task)
    if segment and network.decoder is None:
        raise ValueError("the network has no decoder, so it cannot segment")
    outcomes = collect_outcomes(network, loader, device=device, segment=segment)
    if segment and outcomes.masks is None:
        raise DataError("no image of this split has a mask, but segmentation needs some: add masks to the data")
    return outcomes


def task_metrics(outcomes: Outcomes, task: Task) -> dict[str, float]:
    """Return the metrics of one task by name, of all that the outcomes allow."""
    metrics = outcomes.metrics()
    if task == "multitask":
        metrics[MEAN_SCORE] = mean_score(metrics)
    return {name: value for name, value in metrics.items() if task != "segment" or name not in LABEL_METRICS}


def score(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, seed: int = 0
) -> dict[str, Score]:
    """Return every metric that network and data allow, with intervals; see ``score_outcomes``."""
    segment = network.decoder is not None
    return score_outcomes(collect_outcomes(network, loader, device=device, segment=segment, boundaries=True), seed=seed)


def score_outcomes(outcomes: Outcomes, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Score]:
    """Return metrics with 95 % intervals.

    Shares of images have Wilson's interval. The others have percentiles of the bootstrap: seeded
    resampling of images. If no resample of the images changes ``macro_f1`` (all labels are right,
    for example), its interval is that of the accuracy, because one without a width would be wrong.

    Pixel counts of masks are resampled by image, so that an interval reflects how images differ.
    ``iou_ref`` is a mean over batches by definition and resamples batches.
    """
    rng = np.random.default_rng(seed)
    values = outcomes.metrics()
    labels, masks = outcomes.labels, outcomes.masks
    draws = _resample(labels.take, len(labels.label_I), labels.metrics(), rng=rng, count=resamples)
    if masks is not None:
        draws |= _resample(masks.take, len(masks.actual_I), masks.metrics(), rng=rng, count=resamples)
    if len(outcomes.ref_T):
        index = rng.integers(len(outcomes.ref_T), size=(resamples, len(outcomes.ref_T)))
        draws[REFERENCE_IOU] = outcomes.ref_T[index].mean(axis=1)
    scores = {name: percentile_score(value, draws[name]) for name, value in values.items()}
    images = len(labels.label_I)
    scores |= {name: share_score(round(values[name] * images), images) for name in SHARES if name in values}
    if scores["macro_f1"].low == scores["macro_f1"].high:
        scores["macro_f1"] = replace(scores["accuracy"], value=values["macro_f1"])
    return scores


def score_probabilities(probability_IN: NDArray[np.floating], label_I: Ints, *, seed: int = 0) -> dict[str, Score]:
    """Return the label metrics of any classifier's probabilities, with intervals."""
    return score_outcomes(Outcomes(LabelOutcomes.of(probability_IN, label_I), None, np.empty(0)), seed=seed)


def label_metrics(probability_IN: NDArray[np.floating], label_I: Ints) -> dict[str, float]:
    """Return the label metrics of any classifier's probabilities."""
    return Outcomes(LabelOutcomes.of(probability_IN, label_I), None, np.empty(0)).metrics()


@torch.inference_mode()
def collect_outcomes(
    network: MultitaskNetwork,
    loader: Iterable[Batch],
    *,
    device: torch.device,
    segment: bool,
    booster: Booster | None = None,
    flips: tuple[Flip, ...] = NO_FLIPS,
    boundaries: bool = False,
    by_head: bool = False,
) -> Outcomes:
    """Run the network over a data set, once for each of ``flips``, and collect the outcomes.

    With a ``booster``, its probabilities decide the labels. ``boundaries`` adds boundary scores,
    which take about 20 ms of CPU time for a mask of 448 x 448. ``by_head`` keeps the probabilities
    of every head of a plug-in module, for the images as they are. A batch that does not fit into
    memory is split in halves. Raises DataError for an empty loader, and the allocator's error if
    one image does not fit.
    """
    was_training = network.training
    network.eval()
    labels: list[Tensor] = []
    heads, features = ImageMeans(), [ImageMeans() for _ in flips]
    head_rows, head_names = ImageMeans(), tuple[str, ...]()
    masks = MaskCounter(boundaries=boundaries, classes=network.mask_classes)
    for batch in loader:
        # Check the masks before the transfer and fetch all results at the end: a GPU then never
        # waits for the next batch.
        has_masks = bool(batch.has_mask_B.any())
        batch = to_device(batch, device)
        outputs = average_within_memory(network, batch.image_BCHW, flips=flips, segment=segment)
        labels.append(image_labels(batch))
        heads.add(torch.cat([output.probability_BN for output in outputs]), batch)
        if booster is not None:
            for flip, rows in enumerate(features):
                rows.add(torch.cat([output.features[flip] for output in outputs]), batch)
        plugins = [output.unflipped.plugin for output in outputs if output.unflipped.plugin is not None]
        if by_head and plugins:
            head_names = plugins[0].head_names
            head_rows.add(torch.cat([plugin.head_rows_BM for plugin in plugins]), batch)
        mask_logits = [output.mask_logits_B1hw for output in outputs if output.mask_logits_B1hw is not None]
        if mask_logits and has_masks:
            masks.add(torch.cat(mask_logits), batch)
    network.train(was_training)
    if not labels:
        raise DataError("this split has no images: add images or change the split")
    label_I = torch.cat(labels).cpu().numpy()
    probability_IN: NDArray[np.floating] = heads.rows()
    head = LabelOutcomes.of(probability_IN, label_I)
    if booster is not None:
        probability_IN = boosted(booster, [rows.rows() for rows in features])
    return Outcomes(
        LabelOutcomes.of(probability_IN, label_I),
        masks.outcomes(),
        masks.reference_ious(),
        head=None if booster is None else head,
        head_rows_IM=head_rows.rows() if head_names else None,
        head_names=head_names,
        probability_IN=probability_IN,
    )


def _resample(
    take: Callable[[Ints], T],
    size: int,
    metrics: Mapping[str, Callable[[T], float]],
    *,
    rng: np.random.Generator,
    count: int,
) -> dict[str, Floats]:
    """Return every metric on ``count`` resamples of ``size`` images."""
    rows = []
    for _ in range(count):
        resample = take(rng.integers(size, size=size))
        rows.append([metric(resample) for metric in metrics.values()])
    return dict(zip(metrics, np.array(rows).T, strict=True))


def share_score(hits: int, total: int) -> Score:
    """Return the share ``hits / total`` with its interval; see ``share_interval``."""
    return Score(hits / total, *share_interval(hits, total))


def percentile_score(value: float, draws: Floats | Ints) -> Score:
    """Return ``value`` with the 95 % interval of its ``draws``."""
    low, high = np.percentile(draws, _TAILS)
    return Score(float(value), float(low), float(high))
