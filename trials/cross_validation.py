"""A classifier of frozen features judged on images that it did not learn from: folds of the validation part.

The network learnt from the training part, so its features say of those images what they never say of others: only the
validation part can judge. Of its folds one judges a fit, the next one stops it, and the others teach it beside the
whole training part: what judges has chosen nothing, not even the number of rounds.

Shapes: N images of the validation part, C features, K classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .boost import BoostData, BoosterFit, fit_booster
from .booster import Booster
from .evaluate import label_metrics
from .features import Features
from .trial_config import BoostConfig


@dataclass(frozen=True)
class FoldResult:
    """One fold, counted from 0: metrics of the images left out, and how many rounds their best booster took."""

    fold: int
    metrics: dict[str, float]
    rounds: int


class CrossFit:
    """Fits fold by fold as it is iterated; then ``probability_NK`` of the images left out, and ``booster``.

    ``folds`` are the validation part split for one study: the matrices in them serve all its trials.
    """

    def __init__(
        self, folds: Sequence["Fold"], whole: BoostData, config: BoostConfig, *, num_classes: int, device: str = "cpu"
    ) -> None:
        self._folds = folds
        self._whole = whole
        self._config = config
        self._num_classes = num_classes
        self._device = device
        self._rounds: list[int] = []
        self.probability_NK = np.zeros((sum(len(fold.left_out) for fold in folds), num_classes), np.float32)

    def __iter__(self) -> Iterator[FoldResult]:
        """One fit a fold."""
        for number, fold in enumerate(self._folds):
            fit = self._fit(fold.data, self._config)
            best = max((result.round for result in fit if result.best), default=0)
            self._rounds.append(best + 1)
            probability_NK = fit.booster.predict(fold.judged.x)
            self.probability_NK[fold.left_out] = probability_NK
            yield FoldResult(number, label_metrics(probability_NK, fold.judged.y), best + 1)

    @property
    def booster(self) -> Booster:
        """Fitted on both parts for the median of the folds' best rounds. Raises RuntimeError before the last fold."""
        if len(self._rounds) < len(self._folds):
            raise RuntimeError("iterate over the folds first: some are not done")
        rounds = max(1, math.floor(float(np.median(self._rounds))))
        fit = self._fit(self._whole, self._config.model_copy(update={"rounds": rounds}))
        for _ in fit:
            pass
        return fit.booster

    def _fit(self, data: BoostData, config: BoostConfig) -> BoosterFit:
        return fit_booster(data, config, num_classes=self._num_classes, device=self._device)


@dataclass(frozen=True)
class Fold:
    """The indices left out, their features, and what is learnt from and stopped by."""

    left_out: NDArray[np.int64]
    judged: Features
    data: BoostData


def split_folds(train: Features, val: Features, groups: Sequence[str], *, folds: int) -> list[Fold]:
    """The validation part in at most ``folds`` folds, whole groups together, classes spread evenly.

    Raises DataError for fewer than two groups.
    """
    number_N = fold_numbers(val.y, groups, folds=folds)
    count = int(number_N.max()) + 1
    made = []
    for number in range(count):
        stops = (number + 1) % count
        left_out = np.flatnonzero(number_N == number)
        learnt = join(train, take(val, np.flatnonzero((number_N != number) & (number_N != stops))))
        data = BoostData(learnt, take(val, np.flatnonzero(number_N == stops)))
        made.append(Fold(left_out, take(val, left_out), data))
    return made


def fold_numbers(label_N: NDArray[np.int64], groups: Sequence[str], *, folds: int) -> NDArray[np.int64]:
    """The fold of every image: groups in the order of their first label, dealt out like cards."""
    first: dict[str, int] = {}
    for group, label in zip(groups, label_N, strict=True):
        first.setdefault(group, int(label))
    if len(first) < 2:
        raise DataError(f"the validation part is {len(first)} group, and folds need two: set boost.folds=0")
    order = sorted(first, key=lambda group: (first[group], group))
    place = {group: index % min(folds, len(order)) for index, group in enumerate(order)}
    return np.array([place[group] for group in groups])


def take(features: Features, index: NDArray[np.int64]) -> Features:
    """Some of the images."""
    return Features(features.x[index], features.y[index], features.probabilities[index])


def join(first: Features, second: Features) -> Features:
    """The images of both."""
    return Features(
        np.concatenate((first.x, second.x)),
        np.concatenate((first.y, second.y)),
        np.concatenate((first.probabilities, second.probabilities)),
    )
