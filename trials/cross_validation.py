"""Cross-validation of a classifier of frozen features over folds of the validation split.

The network was trained on the training split, so its features of those images are not
representative: only the validation split can score a classifier. One fold scores, the next controls
early stopping, the rest train together with the whole training split. The fold that scores
therefore chooses nothing, not even the number of rounds.

Shapes: N images of the validation split, C features, K classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .blanked import Views
from .boost import BoostData, BoosterFit, fit_booster
from .booster import Booster
from .evaluate import label_metrics
from .features import Features, join, take
from .trial_config import BoostConfig


@dataclass(frozen=True)
class FoldResult:
    """The metrics of one held-out fold, counted from 0, and the rounds of its best booster."""

    fold: int
    metrics: dict[str, float]
    rounds: int


class CrossValidation:
    """A cross-validation that fits one fold per iteration.

    ``probability_NK`` collects the predictions for held-out images; ``booster`` is fitted at the
    end. All trials of a study share ``folds``, so their matrices are built once.
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
        self.probability_NK = np.zeros((sum(len(fold.held_out_index) for fold in folds), num_classes), np.float32)

    def __iter__(self) -> Iterator[FoldResult]:
        """Fit fold after fold and yield the metrics of each."""
        for number, fold in enumerate(self._folds):
            fit = self._fit(fold.data, self._config)
            best = max((result.round for result in fit if result.best), default=0)
            self._rounds.append(best + 1)
            probability_NK = fit.booster.predict(fold.held_out.x)
            self.probability_NK[fold.held_out_index] = probability_NK
            yield FoldResult(number, label_metrics(probability_NK, fold.held_out.y), best + 1)

    @property
    def booster(self) -> Booster:
        """Return a booster fitted on both splits for the median number of the folds' best rounds.

        Raises RuntimeError before the last fold.
        """
        if len(self._rounds) < len(self._folds):
            raise RuntimeError("some folds are not fitted yet: iterate over the folds first")
        rounds = max(1, math.floor(float(np.median(self._rounds))))
        fit = self._fit(self._whole, self._config.model_copy(update={"rounds": rounds}))
        for _ in fit:
            pass
        return fit.booster

    def _fit(self, data: BoostData, config: BoostConfig) -> BoosterFit:
        return fit_booster(data, config, num_classes=self._num_classes, device=self._device)


@dataclass(frozen=True)
class Fold:
    """Indices and features of the held-out images, and the data for training and early stopping."""

    held_out_index: NDArray[np.int64]
    held_out: Features
    data: BoostData


def split_folds(
    train: Features, val: Features, groups: Sequence[str], *, folds: int, views: Views | None = None
) -> list[Fold]:
    """Split the validation features into at most ``folds`` folds.

    Groups stay together; classes are spread evenly. ``views`` are those of the validation images
    that a fit learns from (None: the images as they are); the images as they are score it. Raises
    DataError for fewer than two groups.
    """
    features, image_M = views or Views(val, np.arange(len(val.y)))
    number_N = fold_numbers(val.y, groups, folds=folds)
    count = int(number_N.max()) + 1
    result = []
    for number in range(count):
        stopping = (number + 1) % count
        held_out = np.flatnonzero(number_N == number)
        learnt_N = (number_N != number) & (number_N != stopping)
        fitted = join(train, take(features, np.flatnonzero(learnt_N[image_M])))
        data = BoostData(fitted, take(val, np.flatnonzero(number_N == stopping)))
        result.append(Fold(held_out, take(val, held_out), data))
    return result


def fold_numbers(label_N: NDArray[np.int64], groups: Sequence[str], *, folds: int) -> NDArray[np.int64]:
    """Return the fold number of every image.

    Groups are sorted by their first label and assigned to the folds in turn.
    """
    first: dict[str, int] = {}
    for group, label in zip(groups, label_N, strict=True):
        first.setdefault(group, int(label))
    if len(first) < 2:
        raise DataError(f"the validation split has {len(first)} group, but folds need two: set boost.folds=0")
    order = sorted(first, key=lambda group: (first[group], group))
    place = {group: index % min(folds, len(order)) for index, group in enumerate(order)}
    return np.array([place[group] for group in groups])
