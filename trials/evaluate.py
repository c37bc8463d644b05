"""One pass over a data set, then its metrics: plain for validation, with intervals for the final scoring.

Shapes: N classes, I images, T batches.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.dataset import Batch
from ..errors import DataError
from ..models.network import MultitaskNetwork
from .booster import Booster
from .device import to_device
from .errors import is_out_of_memory
from .flips import AS_IS, Answer, Flip, ask
from .kinds import Task
from .mask_counts import Counted, count_masks, mask_outcomes
from .metrics import LABEL_METRICS, Floats, Ints, LabelOutcomes, MaskOutcomes

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
    """What a network did on a data set; ``masks`` is None where there is nothing to segment with or against.

    ``labels`` are a booster's where there is one, and ``head`` then holds the network's own.
    """

    labels: LabelOutcomes
    masks: MaskOutcomes | None
    ref_T: Floats
    head: LabelOutcomes | None = None

    def metrics(self) -> dict[str, float]:
        """Every metric that the outcomes allow, by name."""
        values = {name: metric(self.labels) for name, metric in self.labels.metrics().items()}
        if self.masks is not None:
            values |= {name: metric(self.masks) for name, metric in self.masks.metrics().items()}
            values["iou_ref"] = float(self.ref_T.mean())
        return values


def evaluate(
    network: MultitaskNetwork, loader: Iterable[Batch], *, device: torch.device, task: Task
) -> dict[str, float]:
    """The metrics of one task: accuracy, top3, top5, macro_f1, logloss, ece; or iou, iou_cells, dice, iou_ref and bce.

    ``top3`` and ``top5`` need more classes than that, ``iou_cells`` logits of another size than the mask's. Always in
    fp32 and eval mode, as predictions are made; the network's mode is put back afterwards. Raises DataError for a
    loader without images, or, to segment, without masks, and ValueError for a network without a decoder.
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
    segment = network.decoder is not None
    return score_outcomes(observe(network, loader, device=device, segment=segment, boundaries=True), seed=seed)


def score_outcomes(outcomes: Outcomes, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Score]:
    """Metrics with 95 % percentile bootstrap intervals: images are drawn again, with replacement, seeded.

    Masks' pixel counts are drawn by image, so an interval reflects how images differ. ``iou_ref`` is a mean over
    batches by definition and draws batches.
    """
    rng = np.random.default_rng(seed)
    values = outcomes.metrics()
    labels, masks = outcomes.labels, outcomes.masks
    draws = _draw(labels.take, len(labels.label_I), labels.metrics(), rng=rng, count=resamples)
    if masks is not None:
        draws |= _draw(masks.take, len(masks.actual_I), masks.metrics(), rng=rng, count=resamples)
        index = rng.integers(len(outcomes.ref_T), size=(resamples, len(outcomes.ref_T)))
        draws["iou_ref"] = outcomes.ref_T[index].mean(axis=1)
    return {name: percentile_score(value, draws[name]) for name, value in values.items()}


def score_probabilities(probability_IN: NDArray[np.floating], label_I: Ints, *, seed: int = 0) -> dict[str, Score]:
    """The label metrics of any classifier's probabilities, a booster's for one, with intervals."""
    return score_outcomes(Outcomes(LabelOutcomes.of(probability_IN, label_I), None, np.empty(0)), seed=seed)


def label_metrics(probability_IN: NDArray[np.floating], label_I: Ints) -> dict[str, float]:
    """The label metrics of any classifier's probabilities."""
    return Outcomes(LabelOutcomes.of(probability_IN, label_I), None, np.empty(0)).metrics()


@torch.inference_mode()
def observe(
    network: MultitaskNetwork,
    loader: Iterable[Batch],
    *,
    device: torch.device,
    segment: bool,
    booster: Booster | None = None,
    flips: tuple[Flip, ...] = AS_IS,
    boundaries: bool = False,
) -> Outcomes:
    """Run the network over a data set, once for each of ``flips``, and keep what the metrics need.

    With a ``booster`` the labels are decided by it. ``boundaries`` are what takes time on the processor: some 20 ms for
    a mask of 448 x 448. Images that memory does not hold together go through in halves. Raises DataError for an empty
    loader, and what an allocator raised for one image.
    """
    was_training = network.training
    network.eval()
    labels: list[Tensor] = []
    heads: list[Tensor] = []
    decisions: list[NDArray[np.float32]] = []
    masks: list[Counted] = []
    for batch in loader:
        # Asked here, and all labels and probabilities fetched at the end: a GPU need not wait for the next batch.
        has_masks = bool(batch.has_mask_B.any())
        batch = to_device(batch, device)
        answers = _ask_what_fits(network, batch.image_BCHW, flips, segment)
        labels.append(batch.label_B)
        heads += [answer.probability_BN for answer in answers]
        if booster is not None:
            decisions += [answer.decision(booster) for answer in answers]
        said = [answer.mask_logits_B1hw for answer in answers if answer.mask_logits_B1hw is not None]
        if said and has_masks:
            masks.append(count_masks(torch.cat(said), batch, boundaries=boundaries))
    network.train(was_training)
    if not labels:
        raise DataError("this part of the data has no images: give it some, or change the split")
    label_I = torch.cat(labels).cpu().numpy()
    head = LabelOutcomes.of(torch.cat(heads).cpu().numpy(), label_I)
    decided = LabelOutcomes.of(np.concatenate(decisions), label_I) if decisions else None
    ref_T = np.array([float(counted.ref) for counted in masks])
    return Outcomes(decided or head, mask_outcomes(masks) if masks else None, ref_T, head=head if decided else None)


def _ask_what_fits(network: MultitaskNetwork, x_BCHW: Tensor, flips: tuple[Flip, ...], segment: bool) -> list[Answer]:
    """The answer to all images, or those to halves of them, and so on, where memory does not hold them together."""
    try:
        return [ask(network, x_BCHW, flips=flips, segment=segment)]
    except (RuntimeError, MemoryError) as error:
        if len(x_BCHW) == 1 or not is_out_of_memory(error):
            raise
    # Not while the error is handled: its traceback holds what the failed pass had in memory.
    halves = x_BCHW.tensor_split(2)
    return [answer for half in halves for answer in _ask_what_fits(network, half, flips, segment)]


def _draw(
    take: Callable[[Ints], T],
    size: int,
    metrics: Mapping[str, Callable[[T], float]],
    *,
    rng: np.random.Generator,
    count: int,
) -> dict[str, Floats]:
    """Every metric on ``count`` resamples of ``size`` images."""
    rows = []
    for _ in range(count):
        resample = take(rng.integers(size, size=size))
        rows.append([metric(resample) for metric in metrics.values()])
    return dict(zip(metrics, np.array(rows).T, strict=True))


def percentile_score(value: float, draws: Floats | Ints) -> Score:
    """``value`` with the 95 % interval of its ``draws``."""
    low, high = np.percentile(draws, _TAILS)
    return Score(float(value), float(low), float(high))
