"""XGBoost on frozen features: round by round, stopped early, kept at its best round.

Shapes: N images, C features, K classes.
"""

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ..errors import UserError
from .config import BoostConfig
from .errors import TrialFailed
from .features import Features
from .files import written_aside

Array = NDArray[np.float32]

# XGBoost has no field for them, so they travel as attributes of the model's file.
_MEAN, _SCALE = "venation_mean", "venation_scale"


@dataclass(frozen=True)
class RoundResult:
    """One finished boosting round, counted from 0, with the log-loss of both parts."""

    round: int
    train_logloss: float
    val_logloss: float
    best: bool


class Booster:
    """A trained booster with the standardisation of its features; one ``.ubj`` file holds both."""

    def __init__(self, model: xgb.Booster) -> None:
        self._model = model
        self._mean_C = _decode(model.attr(_MEAN))
        self._scale_C = _decode(model.attr(_SCALE))

    @property
    def num_features(self) -> int:
        """How many features an image must have."""
        return len(self._mean_C)

    def predict(self, x_NC: Array) -> Array:
        """Class probabilities ``(N, K)``. Raises UserError for another number of features."""
        if x_NC.ndim != 2 or x_NC.shape[1] != self.num_features:
            given = "x".join(map(str, x_NC.shape))
            raise UserError(f"the booster takes N x {self.num_features} features, not {given}: use its own network")
        standard_NC = (x_NC.astype(np.float32) - self._mean_C) / self._scale_C
        return self._model.predict(xgb.DMatrix(standard_NC, nthread=1))

    def linear(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Weights ``(C, K)`` and bias ``(K,)`` of raw features' logits, standardisation folded in; None for trees."""
        learner = json.loads(self._model.save_raw("json"))["learner"]
        if learner["gradient_booster"]["name"] != "gblinear":
            return None
        num_classes = int(learner["learner_model_param"]["num_class"])
        flat = np.array(learner["gradient_booster"]["model"]["weights"], dtype=np.float64)
        table = flat.reshape(self.num_features + 1, num_classes)
        weight_CK = table[:-1] / self._scale_C[:, None]
        return weight_CK, table[-1] - self._mean_C @ weight_CK

    def save(self, path: Path) -> None:
        """Write the model as XGBoost's own ``.ubj``, aside first. Raises UserError if it cannot be written."""
        try:
            with written_aside(path) as aside:
                aside.write_bytes(self._model.save_raw("ubj"))
        except OSError as error:
            raise UserError(f"booster {path} cannot be written ({error.strerror}): choose another folder") from None

    @classmethod
    def load(cls, path: Path) -> "Booster":
        """Read what ``save`` wrote. Raises UserError for a missing, damaged or foreign file."""
        model = xgb.Booster()
        try:
            model.load_model(bytearray(path.read_bytes()))
        except OSError as error:
            raise UserError(f"booster {path} cannot be read ({error.strerror}): give the file of a booster") from None
        except xgb.core.XGBoostError:
            raise UserError(f"booster {path} is damaged or no XGBoost model: export it again") from None
        if model.attr(_MEAN) is None or model.attr(_SCALE) is None:
            raise UserError(f"booster {path} was not written by venation: it lacks the features' scale")
        return cls(model)


class BoosterFit:
    """A fit that runs as it is iterated; ``booster`` is its best round so far, whenever one stops."""

    def __init__(self, train: Features, val: Features, config: BoostConfig, *, num_classes: int) -> None:
        self.config = config
        self._best: xgb.Booster | None = None
        self._mean_C = train.x.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread_C = train.x.std(axis=0, dtype=np.float64).astype(np.float32)
        # A constant feature says nothing; dividing it by one keeps it at zero.
        self._scale_C = np.where(spread_C > 0, spread_C, np.float32(1))
        self._train = self._matrix(train)
        self._val = self._matrix(val)
        self._model = xgb.Booster(_parameters(config, num_classes), [self._train, self._val])

    def __iter__(self) -> Iterator[RoundResult]:
        """Boost until ``patience`` rounds in a row brought no better validation log-loss, or ``rounds`` are done."""
        best_round, best_loss = -1, math.inf
        for number in range(self.config.rounds):
            self._model.update(self._train, number)
            train_loss, val_loss = self._losses(number)
            better = val_loss < best_loss
            if better:
                best_round, best_loss = number, val_loss
                self._keep(number)
            yield RoundResult(number, train_loss, val_loss, better)
            if number - best_round >= self.config.patience:
                return

    @property
    def booster(self) -> Booster:
        """The booster after its best round. Raises RuntimeError before the first."""
        if self._best is None:
            raise RuntimeError("iterate over the fit first: no round is done")
        model = self._best.copy()
        model.set_attr(**{_MEAN: _encode(self._mean_C), _SCALE: _encode(self._scale_C)})
        return Booster(model)

    def _keep(self, number: int) -> None:
        # A linear booster cannot be cut back to an earlier round (XMNet, section 5.2), so its best one is copied.
        self._best = self._model.copy() if self.config.booster == "gblinear" else self._model[: number + 1]

    def _losses(self, number: int) -> tuple[float, float]:
        line = self._model.eval_set([(self._train, "train"), (self._val, "val")], number)
        train_loss, val_loss = (float(part.rsplit(":", 1)[1]) for part in line.split("\t")[1:])
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise TrialFailed("nan", f"log-loss became {train_loss}/{val_loss} in round {number}: lower boost.eta")
        return train_loss, val_loss

    def _matrix(self, features: Features) -> xgb.DMatrix:
        return xgb.DMatrix((features.x - self._mean_C) / self._scale_C, features.y, nthread=1)


def fit_booster(train: Features, val: Features, config: BoostConfig, *, num_classes: int) -> BoosterFit:
    """Prepare a fit: iterate it for its rounds, then take its ``booster``.

    Features are standardised by the training part. Raises TrialFailed with cause ``nan`` for features that are not
    finite, UserError if the two parts have different features.
    """
    if train.x.shape[1] != val.x.shape[1]:
        sizes = f"{train.x.shape[1]} and {val.x.shape[1]}"
        raise UserError(f"training and validation have {sizes} features an image: extract both with one network")
    if not (np.isfinite(train.x).all() and np.isfinite(val.x).all()):
        raise TrialFailed(
            "nan", "features are not finite: the base classifier's weights are broken, choose another base"
        )
    return BoosterFit(train, val, config, num_classes=num_classes)


def _parameters(config: BoostConfig, num_classes: int) -> dict[str, Any]:
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
    return common | {"tree_method": "hist", **trees}


def _encode(values: Array) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def _decode(text: str | None) -> Array:
    if text is None:
        raise ValueError("the model does not hold its features' scale")
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
