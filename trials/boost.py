"""Train boosters on frozen features with early stopping.

Shapes: N images, C features, K classes.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ..errors import UserError
from .booster import DECIMALS, Array, Booster
from .errors import TrialFailed
from .features import Features
from .logistic import RowSpace, fit_logistic, standard_scale
from .trial_config import BoostConfig

# Histogram bins per feature. On a few hundred images 32 bins separate as well as XGBoost's default
# of 256, in a third of the time.
_BINS = 32


@dataclass(frozen=True)
class RoundResult:
    """A finished boosting round: its number, counted from 0, and the validation log-loss.

    The loss is NaN without a validation split.
    """

    round: int
    val_logloss: float
    best: bool


class BoostData:
    """Standardised training and validation features; the XGBoost matrices are built once.

    Mean and scale come from the training split. Raises TrialFailed with cause ``nan`` for features
    that are not finite, and UserError if the two splits have different features.
    """

    def __init__(self, train: Features, val: Features | None) -> None:
        if val is not None and train.x.shape[1] != val.x.shape[1]:
            sizes = f"{train.x.shape[1]} and {val.x.shape[1]}"
            raise UserError(f"training and validation have {sizes} features an image: extract both with one network")
        if not all(np.isfinite(split.x).all() for split in (train, val) if split is not None):
            raise TrialFailed(
                "nan", "features are not finite: the base classifier's weights are broken, choose another base"
            )
        self._splits = (train, val)
        self.mean_C, self.scale_C = standard_scale(train.x)

    @functools.cached_property
    def rows(self) -> RowSpace:
        """Return the standardised training features in the coordinates of the logistic fit."""
        return RowSpace(self._standardise(self._splits[0]))

    @property
    def y_N(self) -> NDArray[np.int64]:
        """Return the labels of the training split."""
        return self._splits[0].y

    @property
    def weight_N(self) -> NDArray[np.float64] | None:
        """Return the weights of the training split's images; None: 1 each."""
        return self._splits[0].weight

    @functools.cached_property
    def plain(self) -> tuple[xgb.DMatrix, xgb.DMatrix | None]:
        """Return the training and validation matrices of a linear booster."""
        train, val = self._splits
        return self._matrix(train), None if val is None else self._matrix(val)

    @functools.cached_property
    def binned(self) -> tuple[xgb.DMatrix, xgb.DMatrix | None]:
        """Return the training and validation matrices of tree boosters.

        The histogram bins are computed once for all fits.
        """
        train, val = self._splits
        matrix = xgb.QuantileDMatrix(self._quantise(train), train.y, weight=train.weight, nthread=1, max_bin=_BINS)
        if val is None:
            return matrix, None
        return matrix, xgb.QuantileDMatrix(self._quantise(val), val.y, ref=matrix, nthread=1, max_bin=_BINS)

    def finish(self, model: xgb.Booster) -> Booster:
        """Return a trained model together with the scale of its features."""
        return Booster.scaled(model, self.mean_C, self.scale_C)

    def _standardise(self, features: Features) -> Array:
        return (features.x - self.mean_C) / self.scale_C

    def _quantise(self, features: Features) -> Array:
        return self._standardise(features).round(DECIMALS)

    def _matrix(self, features: Features) -> xgb.DMatrix:
        return xgb.DMatrix(self._standardise(features), features.y, weight=features.weight, nthread=1)


class BoosterFit:
    """A fit that trains one round per iteration; ``booster`` is the best round so far.

    Without a validation split every round counts as the best one. Raises TrialFailed with cause
    ``nan`` for a loss that is not finite.
    """

    def __init__(self, data: BoostData, config: BoostConfig, *, num_classes: int, device: str = "cpu") -> None:
        self.config = config
        self._data = data
        self._num_classes = num_classes
        self._train, self._val = data.plain if _is_linear(config) else data.binned
        self._best: xgb.Booster | None = None
        self._model: xgb.Booster | None = None
        if config.booster != "logistic":
            matrices = [matrix for matrix in (self._train, self._val) if matrix is not None]
            self._model = xgb.Booster(_parameters(config, num_classes, device), matrices)

    def __iter__(self) -> Iterator[RoundResult]:
        """Boost until ``patience`` rounds in a row bring no better loss, or ``rounds`` are done."""
        best_round, best_loss = -1, math.inf
        for number in range(self.config.rounds if self._model is not None else 1):
            model = self._advance(number)
            val_loss = math.nan if self._val is None else self._loss(model, self._val, number)
            better = self._val is None or val_loss < best_loss
            if better:
                best_round, best_loss = number, val_loss
                self._keep(model, number)
            yield RoundResult(number, val_loss, better)
            if number - best_round >= self.config.patience:
                return

    @property
    def booster(self) -> Booster:
        """Return the booster after its best round. Raises RuntimeError before the first round."""
        if self._best is None:
            raise RuntimeError("no round is done yet: iterate over the fit first")
        if self._val is None:
            self._loss(self._best, self._train, self._best.num_boosted_rounds() - 1)
        return self._data.finish(self._best)

    def _advance(self, number: int) -> xgb.Booster:
        """Return the model after one more round; a logistic regression takes one round in all."""
        if self._model is None:
            return fit_logistic(
                self._data.rows,
                self._data.y_N,
                num_classes=self._num_classes,
                penalty=self.config.reg_lambda,
                weight_N=self._data.weight_N,
            )
        self._model.update(self._train, number)
        return self._model

    def _keep(self, model: xgb.Booster, number: int) -> None:
        # Without a validation split no earlier round is needed. Plain trees can be sliced back to a
        # round. A linear booster cannot (XMNet, section 5.2), and dart reweights its earlier trees
        # in every round.
        if self._val is None:
            self._best = model
        else:
            self._best = model[: number + 1] if self.config.booster == "gbtree" else model.copy()

    def _loss(self, model: xgb.Booster, matrix: xgb.DMatrix, number: int) -> float:
        """Return the log-loss on ``matrix``.

        Scoring the training split too would double the time of a round.
        """
        loss = float(model.eval_set([(matrix, "split")], number).rsplit(":", 1)[1])
        if not math.isfinite(loss):
            raise TrialFailed("nan", f"log-loss became {loss} in round {number}: lower boost.eta")
        return loss


def fit_booster(data: BoostData, config: BoostConfig, *, num_classes: int, device: str = "cpu") -> BoosterFit:
    """Prepare a fit: iterate over it, then read its ``booster``.

    ``device`` is XGBoost's and applies to trees. Raises ValueError for ``head``: the network's head
    is not fitted.
    """
    if config.booster == "head":
        raise ValueError("the network's head is not fitted: use the features' probabilities")
    return BoosterFit(data, config, num_classes=num_classes, device=device)


def _is_linear(config: BoostConfig) -> bool:
    return config.booster in ("logistic", "gblinear")


def _parameters(config: BoostConfig, num_classes: int, device: str) -> dict[str, Any]:
    """Return the parameters that the booster knows.

    gblinear ignores tree parameters (XMNet, section 5.2).
    """
    common: dict[str, Any] = {
        "booster": config.booster,
        "objective": "multi:softprob",
        "num_class": num_classes,
        "eval_metric": "mlogloss",
        "eta": config.eta,
        "lambda": config.reg_lambda,
        "alpha": config.reg_alpha,
        "seed": config.seed,
        "verbosity": 1,
    }
    if config.booster == "gblinear":
        # One thread makes the updates of shotgun sequential: results repeat bit for bit and equal
        # those of coord_descent. XGBoost 3 would estimate an intercept per class, and gblinear adds
        # the first of them to all classes: use a constant instead.
        return common | {"updater": "shotgun", "feature_selector": "cyclic", "nthread": 1, "base_score": 0.5}
    trees = {"max_depth": config.max_depth, "subsample": config.subsample, "colsample_bytree": config.colsample}
    dart = {"rate_drop": config.drop} if config.booster == "dart" else {}
    return common | {"tree_method": "hist", "max_bin": _BINS, "device": device} | trees | dart
