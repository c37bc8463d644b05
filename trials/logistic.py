"""Multinomial logistic regression on frozen features, stored as a linear booster.

Shapes: N images, C features, K classes, R the rank of the features, at most N.
"""

import functools
import struct
import warnings

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

# Steps of L-BFGS. A search fits hundreds of models: on features of small networks, steps after the
# hundredth change the log-loss in its fourth digit.
_MAX_STEPS = 100
# Of the gradient. It takes three steps more than scikit-learn's default and gives probabilities
# exact to 1e-5.
_TOLERANCE = 1e-6
# Without a penalty the optimum of separable classes lies at infinity.
_MIN_PENALTY = 1e-8
# The logit of a class without a training image.
_ABSENT_LOGIT = -30.0
# Singular values below this share of the largest are rounding errors.
_RANK_TOLERANCE = 1e-6
# A feature whose standard deviation is below this share of its largest value is constant: float32
# has seven digits.
_CONSTANT = 1e-6


class RowSpace:
    """The features ``x_NC`` in orthogonal coordinates of the span of the images.

    The optimal weights of a penalised linear model lie in the span of its images (the representer
    theorem), and orthogonal coordinates preserve their norm. The fit on ``z_NR`` therefore has the
    optimum of the fit on ``x_NC``; ``basis_CR`` maps weights back. The decomposition is computed
    once for all penalties. With at least as many images as features, the features stay as they are.
    """

    def __init__(self, x_NC: NDArray[np.float32]) -> None:
        self.z_NR: NDArray[np.float64] = x_NC.astype(np.float64)
        self.basis_CR: NDArray[np.float64] | None = None
        if x_NC.shape[0] < x_NC.shape[1]:
            u_NN, scale_N, v_NC = np.linalg.svd(self.z_NR, full_matrices=False)
            kept_N = scale_N > _RANK_TOLERANCE * max(float(scale_N[0]), _RANK_TOLERANCE)
            # Keep at least one column: features that are all equal have no other.
            kept_N[0] = True
            self.z_NR = u_NN[:, kept_N] * scale_N[kept_N]
            self.basis_CR = v_NC[kept_N].T

    def lift(self, weight_RK: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights of these coordinates as weights ``(C, K)`` of the features."""
        return weight_RK if self.basis_CR is None else self.basis_CR @ weight_RK


def standard_scale(x_NC: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and standard deviation of every feature ``(C,)``, to standardise it.

    A feature that is constant up to rounding gets the deviation 1: dividing its rounding errors by
    their own size would make them as large as any signal.
    """
    mean_C = x_NC.mean(axis=0, dtype=np.float64).astype(np.float32)
    std_C = x_NC.std(axis=0, dtype=np.float64).astype(np.float32)
    return mean_C, np.where(std_C > _CONSTANT * np.abs(x_NC).max(axis=0), std_C, np.float32(1))


def fit_softmax(
    rows: RowSpace,
    y_N: NDArray[np.int64],
    *,
    num_classes: int,
    strength: float,
    weight_N: NDArray[np.float64] | None = None,
    steps: int = _MAX_STEPS,
    tolerance: float = _TOLERANCE,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights ``(C, K)`` and bias ``(K,)`` of scikit-learn's logistic regression.

    ``strength`` is its C, the inverse of the L2 penalty; ``weight_N`` weighs the images' losses
    (None: 1 each). The softmax of x W + b is its prediction, for two classes as well. A class
    without an image gets zero weights and a negligible probability. Raises ValueError if all images
    are of one class.
    """
    model = LogisticRegression(C=strength, max_iter=steps, tol=tolerance)
    with warnings.catch_warnings():
        # The remaining distance to the optimum changes no prediction.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows.z_NR, y_N, sample_weight=weight_N)
    weight_RK = np.zeros((rows.z_NR.shape[1], num_classes))
    bias_K = np.full(num_classes, _ABSENT_LOGIT)
    if len(model.classes_) == 2:
        # For two classes scikit-learn has one logit: give half of it to each class, with opposite
        # signs.
        weight_RK[:, model.classes_] = np.outer(model.coef_[0], (-0.5, 0.5))
        bias_K[model.classes_] = model.intercept_[0] * np.array((-0.5, 0.5))
    else:
        weight_RK[:, model.classes_] = model.coef_.T
        bias_K[model.classes_] = model.intercept_
    return rows.lift(weight_RK), bias_K


def fit_logistic(
    rows: RowSpace,
    y_N: NDArray[np.int64],
    *,
    num_classes: int,
    penalty: float,
    weight_N: NDArray[np.float64] | None = None,
) -> xgb.Booster:
    """Return the model of least mean cross-entropy + ``penalty`` / 2 x squared weights.

    ``weight_N`` weighs the images in the mean (None: 1 each). The model is an XGBoost ``gblinear``,
    which with lambda = ``penalty`` boosts towards the same optimum. A class without an image gets
    zero weights and a negligible probability.
    """
    scale = 1 / (max(penalty, _MIN_PENALTY) * (len(y_N) if weight_N is None else weight_N.sum()))
    if len(np.unique(y_N)) == 2:
        # For two classes scikit-learn has one weight vector, the difference of ours: half of the
        # squares.
        scale *= 2
    return linear_booster(*fit_softmax(rows, y_N, num_classes=num_classes, strength=scale, weight_N=weight_N))


def linear_booster(weight_CK: NDArray[np.float64], bias_K: NDArray[np.float64]) -> xgb.Booster:
    """Return a ``gblinear`` booster whose probabilities are the softmax of x W + b."""
    head, tail = _empty_model(*weight_CK.shape)
    table = np.concatenate([weight_CK, bias_K[None]]).astype(">f4")
    booster = xgb.Booster({"nthread": 1, "verbosity": 0, "eval_metric": "mlogloss"})
    booster.load_model(bytearray(head + table.tobytes() + tail))
    return booster


@functools.lru_cache(maxsize=4)
def _empty_model(features: int, classes: int) -> tuple[bytes, bytes]:
    """Return the bytes before and after the weights in XGBoost's file of a ``gblinear``.

    The file is big-endian UBJSON. As JSON text, the weights of 200 classes on 2208 features take a
    second to write and read, in every fit.
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
