"""Multinomial logistic regression on frozen features, kept in the form of a linear booster.

Shapes: N images, C features, K classes, R the rank of the images' features, at most N.
"""

import functools
import struct
import warnings

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

# Of L-BFGS. A search fits hundreds of these: on features of small networks the steps after the hundredth move the
# log-loss in its fourth digit.
_MAX_STEPS = 100
_TOLERANCE = 1e-6  # of the gradient: three steps more than scikit-learn takes, and probabilities right to 1e-5
# Without any penalty the optimum of separable classes lies at infinity.
_LEAST_PENALTY = 1e-8
# The logit of a class that has no image to learn from.
_NEVER = -30.0
# What of the singular values is rounding.
_NOTHING = 1e-6


class RowSpace:
    """The images' features ``x_NC`` in as many coordinates as there are images, where those are fewer.

    A penalised linear model's best weights lie in the span of its images (the representer theorem), and in orthogonal
    coordinates of it they are as long as there: the same optimum, found in ``z_NR`` instead of ``x_NC``, with
    ``basis_CR`` from one to the other. The decomposition is made once for all penalties.
    """

    def __init__(self, x_NC: NDArray[np.float32]) -> None:
        self.z_NR: NDArray[np.float64] = x_NC.astype(np.float64)
        self.basis_CR: NDArray[np.float64] | None = None
        if x_NC.shape[0] < x_NC.shape[1]:
            u_NN, scale_N, v_NC = np.linalg.svd(self.z_NR, full_matrices=False)
            kept_N = scale_N > _NOTHING * max(float(scale_N[0]), _NOTHING)
            # A single column at least: features that are all alike have none of their own.
            kept_N[0] = True
            self.z_NR = u_NN[:, kept_N] * scale_N[kept_N]
            self.basis_CR = v_NC[kept_N].T

    def lift(self, weight_RK: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of these coordinates as weights ``(C, K)`` of the features."""
        return weight_RK if self.basis_CR is None else self.basis_CR @ weight_RK


def fit_logistic(rows: RowSpace, y_N: NDArray[np.int64], *, num_classes: int, penalty: float) -> xgb.Booster:
    """The model of least mean cross-entropy + ``penalty`` / 2 x squared weights, as a ``gblinear`` of XGBoost.

    gblinear with lambda = ``penalty`` boosts towards the same optimum. Classes without an image keep zero weights and
    the probability that the others leave them: none to speak of.
    """
    scale = 1 / (max(penalty, _LEAST_PENALTY) * len(y_N))
    if len(np.unique(y_N)) == 2:
        # scikit-learn has one weight there, the difference of our two: half of the squares.
        scale *= 2
    model = LogisticRegression(C=scale, max_iter=_MAX_STEPS, tol=_TOLERANCE)
    with warnings.catch_warnings():
        # What is missing to the optimum then is missing to no decision.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows.z_NR, y_N)
    weight_RK = np.zeros((rows.z_NR.shape[1], num_classes))
    bias_K = np.full(num_classes, _NEVER)
    if len(model.classes_) == 2:
        # Two classes are one logit to scikit-learn: half of it for the one, half against the other.
        weight_RK[:, model.classes_] = np.outer(model.coef_[0], (-0.5, 0.5))
        bias_K[model.classes_] = model.intercept_[0] * np.array((-0.5, 0.5))
    else:
        weight_RK[:, model.classes_] = model.coef_.T
        bias_K[model.classes_] = model.intercept_
    return linear_booster(rows.lift(weight_RK), bias_K)


def linear_booster(weight_CK: NDArray[np.float64], bias_K: NDArray[np.float64]) -> xgb.Booster:
    """A ``gblinear`` booster of these weights: its probabilities are the softmax of x W + b."""
    head, tail = _empty_model(*weight_CK.shape)
    table = np.concatenate([weight_CK, bias_K[None]]).astype(">f4")
    booster = xgb.Booster({"nthread": 1, "verbosity": 0, "eval_metric": "mlogloss"})
    booster.load_model(bytearray(head + table.tobytes() + tail))
    return booster


@functools.lru_cache(maxsize=4)
def _empty_model(features: int, classes: int) -> tuple[bytes, bytes]:
    """What comes before and after the weights in XGBoost's own file of a ``gblinear``: UBJSON, big-endian.

    As JSON text the weights of 200 classes on 2208 features take a second to write and read, for every fit.
    """
    parameters = {"booster": "gblinear", "objective": "multi:softprob", "num_class": classes, "base_score": 0.5}
    empty = xgb.DMatrix(np.zeros((classes, features), np.float32), np.arange(classes), nthread=1)
    booster = xgb.train(parameters | {"nthread": 1, "verbosity": 0}, empty, num_boost_round=1)
    raw = bytes(booster.save_raw("ubj"))
    count = (features + 1) * classes
    # A typed array of float32 (d), its length as an int64 (L).
    key = b"weights[$d#L" + struct.pack(">q", count)
    start = raw.index(key) + len(key)
    return raw[:start], raw[start + 4 * count :]
