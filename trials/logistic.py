"""Multinomial logistic regression on frozen features, kept in the form of a linear booster.

Shapes: N images, C features, K classes.
"""

import json
import warnings

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

_MAX_STEPS = 1000
# Without any penalty the optimum of separable classes lies at infinity.
_LEAST_PENALTY = 1e-8
# The logit of a class that has no image to learn from.
_NEVER = -30.0


def fit_logistic(x_NC: NDArray[np.float32], y_N: NDArray[np.int64], *, num_classes: int, penalty: float) -> xgb.Booster:
    """The model of least mean cross-entropy + ``penalty`` / 2 x squared weights, as a ``gblinear`` of XGBoost.

    gblinear with lambda = ``penalty`` boosts towards the same optimum. Classes without an image keep zero weights and
    the probability that the others leave them: none to speak of.
    """
    scale = 1 / (max(penalty, _LEAST_PENALTY) * len(y_N))
    if len(np.unique(y_N)) == 2:
        # scikit-learn has one weight there, the difference of our two: half of the squares.
        scale *= 2
    model = LogisticRegression(C=scale, max_iter=_MAX_STEPS)
    with warnings.catch_warnings():
        # After a thousand steps of L-BFGS what is missing to the optimum is missing to no decision.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x_NC, y_N)
    weight_CK = np.zeros((x_NC.shape[1], num_classes))
    bias_K = np.full(num_classes, _NEVER)
    if len(model.classes_) == 2:
        # Two classes are one logit to scikit-learn: half of it for the one, half against the other.
        weight_CK[:, model.classes_] = np.outer(model.coef_[0], (-0.5, 0.5))
        bias_K[model.classes_] = model.intercept_[0] * np.array((-0.5, 0.5))
    else:
        weight_CK[:, model.classes_] = model.coef_.T
        bias_K[model.classes_] = model.intercept_
    return linear_booster(weight_CK, bias_K)


def linear_booster(weight_CK: NDArray[np.float64], bias_K: NDArray[np.float64]) -> xgb.Booster:
    """A ``gblinear`` booster of these weights: its probabilities are the softmax of x W + b."""
    features, classes = weight_CK.shape
    parameters = {"booster": "gblinear", "objective": "multi:softprob", "num_class": classes, "base_score": 0.5}
    parameters["eval_metric"] = "mlogloss"
    empty = xgb.DMatrix(np.zeros((classes, features), np.float32), np.arange(classes), nthread=1)
    booster = xgb.train(parameters | {"nthread": 1, "verbosity": 0}, empty, num_boost_round=1)
    model = json.loads(booster.save_raw("json"))
    table = np.concatenate([weight_CK, bias_K[None]]).astype(np.float32)
    model["learner"]["gradient_booster"]["model"]["weights"] = table.ravel().tolist()
    booster.load_model(bytearray(json.dumps(model).encode()))
    return booster
