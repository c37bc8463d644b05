"""Boosters on frozen features: round by round, stopped early, kept at their best round.

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
from .logistic import RowSpace, fit_logistic
from .trial_config import BoostConfig

# Cuts a feature may have. A few hundred images are parted as well by 32 as by XGBoost's 256, in a third of the time.
_BINS = 32


@dataclass(frozen=True)
class RoundResult:
    """One finished boosting round, counted from 0, with the validation log-loss; nan without such a part."""

    round: int
    val_logloss: float
    best: bool


class BoostData:
    """Training and, if there is one, validation part, standardised by the training part; matrices are made once.

    Raises TrialFailed with cause ``nan`` for features that are not finite, UserError if the two parts have different
    features.
    """

    def __init__(self, train: Features, val: Features | None) -> None:
        if val is not None and train.x.shape[1] != val.x.shape[1]:
            sizes = f"{train.x.shape[1]} and {val.x.shape[1]}"
            raise UserError(f"training and validation have {sizes} features an image: extract both with one network")
        if not all(np.isfinite(part.x).all() for part in (train, val) if part is not None):
            raise TrialFailed(
                "nan", "features are not finite: the base classifier's weights are broken, choose another base"
            )
        self._parts = (train, val)
        self.mean_C = train.x.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread_C = train.x.std(axis=0, dtype=np.float64).astype(np.float32)
        # A constant feature says nothing; dividing it by one keeps it at zero.
        self.scale_C = np.where(spread_C > 0, spread_C, np.float32(1))

    @functools.cached_property
    def rows(self) -> RowSpace:
        """The training part's features, standardised, in the coordinates that a logistic regression is fitted in."""
        return RowSpace(self._standard(self._parts[0]))

    @property
    def y_N(self) -> NDArray[np.int64]:
        """The training part's labels."""
        return self._parts[0].y

    @functools.cached_property
    def plain(self) -> tuple[xgb.DMatrix, xgb.DMatrix | None]:
        """What a linear booster trains on."""
        train, val = self._parts
        return self._matrix(train), None if val is None else self._matrix(val)

    @functools.cached_property
    def binned(self) -> tuple[xgb.DMatrix, xgb.DMatrix | None]:
        """What trees train on: the histogram's bins are cut once for all fits."""
        train, val = self._parts
        matrix = xgb.QuantileDMatrix(self._gridded(train), train.y, nthread=1, max_bin=_BINS)
        if val is None:
            return matrix, None
        return matrix, xgb.QuantileDMatrix(self._gridded(val), val.y, ref=matrix, nthread=1, max_bin=_BINS)

    def finish(self, model: xgb.Booster) -> Booster:
        """A trained model with the scale that its features have."""
        return Booster.scaled(model, self.mean_C, self.scale_C)

    def _standard(self, part: Features) -> Array:
        return (part.x - self.mean_C) / self.scale_C

    def _gridded(self, part: Features) -> Array:
        return self._standard(part).round(DECIMALS)

    def _matrix(self, part: Features) -> xgb.DMatrix:
        return xgb.DMatrix(self._standard(part), part.y, nthread=1)


class BoosterFit:
    """A fit that runs as it is iterated; ``booster`` is its best round so far, whenever one stops.

    Without a validation part every round is the best one yet, and none is judged. Raises TrialFailed with cause ``nan``
    for a loss that is not finite.
    """

    def __init__(self, data: BoostData, config: BoostConfig, *, num_classes: int, device: str = "cpu") -> None:
        self.config = config
        self._data = data
        self._num_classes = num_classes
        self._train, self._val = data.plain if _is_linear(config) else data.binned
        self._best: xgb.Booster | None = None
        self._model: xgb.Booster | None = None
        if config.booster != "logistic":
            known = [matrix for matrix in (self._train, self._val) if matrix is not None]
            self._model = xgb.Booster(_parameters(config, num_classes, device), known)

    def __iter__(self) -> Iterator[RoundResult]:
        """Boost until ``patience`` rounds in a row brought no better validation log-loss, or ``rounds`` are done."""
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
        """The booster after its best round. Raises RuntimeError before the first."""
        if self._best is None:
            raise RuntimeError("iterate over the fit first: no round is done")
        if self._val is None:
            self._loss(self._best, self._train, self._best.num_boosted_rounds() - 1)
        return self._data.finish(self._best)

    def _advance(self, number: int) -> xgb.Booster:
        """The model after one more round; a logistic regression is done in one."""
        if self._model is None:
            return fit_logistic(
                self._data.rows, self._data.y_N, num_classes=self._num_classes, penalty=self.config.reg_lambda
            )
        self._model.update(self._train, number)
        return self._model

    def _keep(self, model: xgb.Booster, number: int) -> None:
        # Without a validation part nobody goes back to an earlier round. Plain trees can be cut back to one; a linear
        # booster has no parts (XMNet, section 5.2), and dart weighs its earlier trees anew in every round.
        if self._val is None:
            self._best = model
        else:
            self._best = model[: number + 1] if self.config.booster == "gbtree" else model.copy()

    def _loss(self, model: xgb.Booster, matrix: xgb.DMatrix, number: int) -> float:
        """The log-loss of one part: to know that of the training part, too, would double a round's price."""
        loss = float(model.eval_set([(matrix, "part")], number).rsplit(":", 1)[1])
        if not math.isfinite(loss):
            raise TrialFailed("nan", f"log-loss became {loss} in round {number}: lower boost.eta")
        return loss


def fit_booster(data: BoostData, config: BoostConfig, *, num_classes: int, device: str = "cpu") -> BoosterFit:
    """Prepare a fit: iterate it for its rounds, then take its ``booster``. ``device`` is XGBoost's, for trees.

    Raises ValueError for the network's head, which is not fitted.
    """
    if config.booster == "head":
        raise ValueError("the network's head is not fitted: use the features' probabilities")
    return BoosterFit(data, config, num_classes=num_classes, device=device)


def _is_linear(config: BoostConfig) -> bool:
    return config.booster in ("logistic", "gblinear")


def _parameters(config: BoostConfig, num_classes: int, device: str) -> dict[str, Any]:
    """Only what the booster knows: gblinear ignores everything about trees (XMNet, section 5.2)."""
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
        # One thread makes shotgun's updates sequential: the same bits every time, and those of coord_descent.
        # XGBoost 3 would estimate an intercept a class, of which gblinear adds the first to all: a constant instead.
        return common | {"updater": "shotgun", "feature_selector": "cyclic", "nthread": 1, "base_score": 0.5}
    trees = {"max_depth": config.max_depth, "subsample": config.subsample, "colsample_bytree": config.colsample}
    dart = {"rate_drop": config.drop} if config.booster == "dart" else {}
    return common | {"tree_method": "hist", "max_bin": _BINS, "device": device} | trees | dart
