"""A trained booster: one file with the model and the scale of its features.

Shapes: N images, C features, K classes.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ..errors import UserError
from ..models.finite import is_finite
from .booster_format import SEAL, UNSEALED, check_format, seal
from .files import atomic_write
from .ubjson import MAX_BYTES

Array = NDArray[np.float32]

# Trees split at feature values of training images. Without rounding, the rounding error of another
# machine or of ONNX can move such an image across a split. With rounding, only an image at the edge
# of a rounding cell can move: about one in a thousand.
DECIMALS = 3

# XGBoost has no field for mean and scale: they are stored as attributes in the model's file.
_MEAN, _SCALE = "venation_mean", "venation_scale"


class Booster:
    """A trained booster and the standardisation of its features, in one ``.ubj`` file."""

    def __init__(self, model: xgb.Booster) -> None:
        self._model = model
        self._mean_C = _decode(model.attr(_MEAN), model.num_features())
        self._scale_C = _decode(model.attr(_SCALE), model.num_features())
        if not (self._scale_C > 0).all():
            raise ValueError("the scale of a feature is not positive")
        # Read the settings, not the content: parsing the weights of many classes as text takes half
        # a second.
        self._config: dict[str, Any] = json.loads(model.save_config())["learner"]
        self._kind: str = self._config["learner_train_param"]["booster"]
        self._decimals = None if self._kind == "gblinear" else DECIMALS

    @classmethod
    def scaled(cls, model: xgb.Booster, mean_C: Array, scale_C: Array) -> "Booster":
        """Return a copy of ``model`` that standardises features by ``mean_C`` and ``scale_C``."""
        model = model.copy()
        model.set_attr(**{_MEAN: _encode(mean_C), _SCALE: _encode(scale_C)})
        return cls(model)

    @property
    def num_features(self) -> int:
        """Return the number of features per image."""
        return len(self._mean_C)

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return int(self._config["learner_model_param"]["num_class"])

    @property
    def num_rounds(self) -> int:
        """Return the number of boosting rounds."""
        return self._model.num_boosted_rounds()

    def predict(self, x_NC: Array) -> Array:
        """Return class probabilities ``(N, K)``.

        Raises UserError for another number of features, or numbers that are not finite.
        """
        if x_NC.ndim != 2 or x_NC.shape[1] != self.num_features:
            given = "x".join(map(str, x_NC.shape))
            raise UserError(f"the booster takes N x {self.num_features} features, not {given}: use its own network")
        with np.errstate(over="ignore", invalid="ignore"):
            standard_NC = (x_NC.astype(np.float32) - self._mean_C) / self._scale_C
            if self._decimals is not None:
                standard_NC = standard_NC.round(self._decimals)
        if not is_finite(standard_NC):
            raise UserError("the booster's features are not finite: an image, the network or the booster is damaged")
        probability_NK: Array = self._model.predict(xgb.DMatrix(standard_NC, nthread=1))
        if not is_finite(probability_NK):
            raise UserError("the booster's probabilities are not finite: its file is damaged or forged")
        return probability_NK

    def linear(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return weights ``(C, K)`` and bias ``(K,)`` of raw features' logits; None for trees.

        The standardisation is folded into the weights.
        """
        if self._kind != "gblinear":
            return None
        weight_CK, bias_K = self.weights()
        weight_CK = weight_CK / self._scale_C[:, None]
        return weight_CK, bias_K - self._mean_C @ weight_CK

    def scaling(self) -> tuple[Array, Array]:
        """Return mean and scale of the features ``(C,)``, which standardise them."""
        return self._mean_C, self._scale_C

    def base_score(self) -> NDArray[np.float64]:
        """Return what is added to the logits: one number, or one for each class."""
        text = str(self._config["learner_model_param"]["base_score"])
        return np.array([float(part) for part in text.strip("[]").split(",")])

    def weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights ``(C, K)`` and bias ``(K,)`` of standardised features, if it is linear."""
        table = np.array(self._content()["model"]["weights"], dtype=np.float64).reshape(self.num_features + 1, -1)
        return table[:-1], table[-1]

    def trees(self) -> list[dict[str, Any]] | None:
        """Return the trees as XGBoost stores them, tree t of class t modulo K; None if linear.

        ``weight`` is added: the factor on a tree's leaves, below 1 for dropped ones (dart).
        """
        if self._kind == "gblinear":
            return None
        content = self._content()
        weights = content.get("weight_drop")
        trees: list[dict[str, Any]] = content.get("gbtree", content)["model"]["trees"]
        return [tree | {"weight": 1.0 if weights is None else weights[at]} for at, tree in enumerate(trees)]

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._model.save_raw("json"))["learner"]["gradient_booster"]
        return content

    def save(self, path: Path) -> None:
        """Write the model atomically in XGBoost's ``.ubj`` format, with the file's sha256 in it.

        Raises UserError if the file cannot be written.
        """
        model = self._model.copy()
        model.set_attr(**{SEAL: UNSEALED})
        try:
            with atomic_write(path) as aside:
                aside.write_bytes(seal(bytes(model.save_raw("ubj"))))
        except OSError as error:
            raise UserError(f"booster {path} cannot be written ({error.strerror}): choose another folder") from None

    @classmethod
    def load(cls, path: Path) -> "Booster":
        """Read a file that ``save`` wrote; its structure is checked before XGBoost reads it.

        Raises UserError for a missing, damaged or foreign file.
        """
        model = xgb.Booster()
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
            content = path.read_bytes()
            check_format(content, (_MEAN, _SCALE))
            model.load_model(bytearray(content))
            return cls(model)
        except OSError as error:
            raise UserError(f"booster {path} cannot be read ({error.strerror}): give the file of a booster") from None
        except (ValueError, xgb.core.XGBoostError) as error:
            reason = "XGBoost refuses it" if isinstance(error, xgb.core.XGBoostError) else error
            raise UserError(
                f"booster {path} is damaged or was not written by venation ({reason}): export it again"
            ) from None


def _encode(values: Array) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def _decode(text: str | None, size: int) -> Array:
    """Return ``size`` finite numbers; ValueError for anything else."""
    values = np.frombuffer(base64.b64decode(text or "", validate=True), dtype="<f4").astype(np.float32)
    if len(values) != size or not is_finite(values):
        raise ValueError("the mean or scale of its features is missing, not finite or of another size")
    return values
