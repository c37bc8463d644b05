"""The leaderboard: the best trials with intervals, and which of them chance may have ordered.

Shapes: I images, R resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial

from ..trials.image_masks import ImageMasks
from ..trials.image_outcomes import ImageOutcomes
from ..trials.mask_metrics import MASK_METRICS
from ..trials.metrics import LABEL_METRICS, MINIMISED, Floats, Ints, LabelOutcomes
from ..trials.paired import compare_paired
from ..trials.shares import share_interval
from .study_facts import SHOWN_TRIALS, Answers, StudyFacts

RESAMPLES = 1000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Lead:
    """By how much the best trial is better than another one, with its 95 % interval.

    ``significant`` is False where chance explains the lead.
    """

    value: float
    low: float
    high: float
    significant: bool


@dataclass(frozen=True)
class Standing:
    """A trial of the leaderboard: its value, its 95 % interval, and the best trial's lead."""

    trial: FrozenTrial
    value: float
    interval: tuple[float, float] | None
    lead: Lead | None


def leaderboard(facts: StudyFacts) -> list[Standing]:
    """Return the best trials in order, in the study's main objective.

    Shares of images have Wilson's interval, and leads in accuracy the paired interval and McNemar's
    exact test of ``compare_paired``. The others have percentiles of the bootstrap over images, the
    same resamples for all trials, and a lead is significant if its interval excludes 0. Trials
    without stored answers, or with answers on other images than the best trial's, lack the
    interval or the lead, and so do all trials if stored answers do not give the metric. Each lead
    is tested by itself.
    """
    metric = facts.spec.objective
    answers = facts.answers if has_resamples(metric) else {}
    best, drawn = answers.get(facts.best.number), {number: draws(found, metric) for number, found in answers.items()}
    rows = []
    for trial in facts.ranked[:SHOWN_TRIALS]:
        own = answers.get(trial.number)
        interval = None if own is None else _interval(own, metric, drawn[trial.number])
        lead = None
        if own is not None and best is not None and trial is not facts.best and own.images == best.images:
            lead = _lead(best, own, metric, drawn[facts.best.number], drawn[trial.number])
        rows.append(Standing(trial, trial.values[0], interval, lead))
    return rows


def has_resamples(metric: str) -> bool:
    """Return whether stored answers of images give the metric; ``iou_ref`` needs whole batches."""
    return metric in LABEL_METRICS or metric in MASK_METRICS


def as_labels(found: ImageOutcomes) -> LabelOutcomes:
    """Return stored answers in the form that metrics take.

    Ranks beyond the first, which are not stored, count as second; an unknown confidence is 1.
    """
    wrong_I = (found.answer_I != found.label_I).astype(np.int64)
    confidence_I = np.ones(len(wrong_I)) if found.confidence_I is None else found.confidence_I
    return LabelOutcomes(
        len(found.classes), found.label_I, found.answer_I, wrong_I, confidence_I, np.exp(-found.logloss_I)
    )


def _interval(found: Answers, metric: str, draws_R: Floats) -> tuple[float, float]:
    if metric == "accuracy" and isinstance(found, ImageOutcomes):
        return share_interval(int((found.answer_I == found.label_I).sum()), len(found.images))
    return _percentiles(draws_R)


def _lead(best: Answers, own: Answers, metric: str, best_R: Floats, own_R: Floats) -> Lead:
    if metric == "accuracy" and isinstance(best, ImageOutcomes) and isinstance(own, ImageOutcomes):
        found = compare_paired(best.answer_I == best.label_I, own.answer_I == own.label_I)
        return Lead(found.difference, found.low, found.high, found.verdict == "better")
    sign = -1 if metric in MINIMISED else 1
    low, high = _percentiles(sign * (best_R - own_R))
    every = np.arange(len(best.images))
    value = sign * (_metric(best, metric)(every) - _metric(own, metric)(every))
    return Lead(value, low, high, low > 0)


def draws(found: Answers, metric: str) -> Floats:
    """Return the metric of resamples of the images, the same ones for every trial: ``(R,)``."""
    images, value = len(found.images), _metric(found, metric)
    index_RI = np.random.default_rng(0).integers(images, size=(RESAMPLES, images))
    return np.array([value(index_I) for index_I in index_RI])


def _metric(found: Answers, metric: str) -> Callable[[Ints], float]:
    """Return a function from indices of images to the metric of these."""
    if isinstance(found, ImageMasks):
        masks = found.masks
        return lambda index_I: MASK_METRICS[metric](masks.take(index_I))
    labels = as_labels(found)
    return lambda index_I: LABEL_METRICS[metric](labels.take(index_I))


def _percentiles(draws_R: Floats) -> tuple[float, float]:
    low, high = np.percentile(draws_R, _TAILS)
    return float(low), float(high)
