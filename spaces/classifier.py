"""The search spaces of classifier studies."""

from collections.abc import Callable, Mapping

from ..errors import UsageError
from ..models.encoder import level_sizes
from ..models.hub_weights import found_offline
from ..models.network_config import EncoderConfig
from ..trials.trial_config import TrialConfig
from .fields import set_fields
from .space import Choice, Dimension, Float, Scalar, Space

# A plug-in module has losses of its own, and mixed images have no mask for the gate.
_MIXABLE: Mapping[str, tuple[Scalar, ...]] = {"plugin.width": (0,), "train.mask_weight": (0.0,)}
_PRETRAINED: Mapping[str, tuple[Scalar, ...]] = {"encoder.weights": ("pretrained",)}
# Mixes with the first weights (WiSE-FT), if they are asked for, need a head that is a classifier.
_RANDOM_HEAD: Mapping[str, tuple[Scalar, ...]] = {"plugin.width": (0,), "train.wise_ft": ("auto", False), **_PRETRAINED}

CLASSIFIER_SPACE = Space(
    dimensions=(
        Choice(
            name="encoder.name", choices=("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
        ),
        Choice(name="data.size", choices=(160, 224, 288)),
        Float(name="train.lr", low=1e-4, high=3e-3, log=True),
        Choice(name="train.encoder_lr", choices=(0.1, 0.3, 1.0)),
        Choice(name="train.layer_decay", choices=(0.75, 1.0)),
        Float(name="train.weight_decay", low=1e-3, high=0.2, log=True),
        Choice(name="gate", choices=("none", "mean", "meanmax")),
        Choice(name="train.label_smoothing", choices=(0.0, 0.1)),
        Choice(name="train.mixup", choices=(0.0, 0.2), when=_MIXABLE),
        Choice(name="train.head_start", choices=("auto", "random"), when=_RANDOM_HEAD),
        Choice(name="train.frozen_bn", choices=("auto", False), when=_PRETRAINED),
        Choice(name="data.augment", choices=("none", "trivial", "rand")),
        Choice(name="data.colour", choices=(0.0, 0.1, 0.3)),
        Choice(name="data.min_area", choices=(0.6, 1.0)),
        Choice(name="data.blank", choices=(0.0, 0.1, 0.3)),
    )
)

# For a frozen encoder: the training and the width of the module on top.
FROZEN_SPACE = Space(
    dimensions=(
        Float(name="train.lr", low=1e-4, high=1e-2, log=True),
        Choice(name="plugin.width", choices=(128, 256, 512)),
        Choice(name="plugin.rule", choices=("own", "image")),
        Float(name="train.plugin.dropped", low=0.1, high=5.0, log=True),
        Float(name="train.plugin.refine", low=0.01, high=2.0, log=True),
    )
)


def feasible_space(space: Space, config: TrialConfig) -> Space:
    """Return a preset's ``space`` with only those encoders and image sizes that trials can use.

    Kept are the encoder of ``config``, and those whose pretrained weights an installed package or
    the hub's local cache has. With the weights of a file no other encoder is kept, with random
    weights every one. Of the image sizes, those that the encoder of ``config`` takes are kept. A
    dimension with one choice left is dropped.
    """
    space = _keep(space, "encoder.name", lambda name: _has_weights(str(name), config.encoder))
    return _keep(space, "data.size", lambda size: _takes(config, size))


def _keep(space: Space, name: str, fits: Callable[[Scalar], bool]) -> Space:
    dimensions: list[Dimension] = []
    for dimension in space.dimensions:
        if isinstance(dimension, Choice) and dimension.name == name:
            kept = tuple(choice for choice in dimension.choices if fits(choice))
            dimensions += [dimension.model_copy(update={"choices": kept})] if len(kept) > 1 else []
        else:
            dimensions.append(dimension)
    return Space(dimensions=tuple(dimensions))


def _has_weights(name: str, encoder: EncoderConfig) -> bool:
    if name == encoder.name or encoder.weights == "none":
        return True
    return encoder.weights == "pretrained" and found_offline(name)


def _takes(config: TrialConfig, size: Scalar) -> bool:
    try:
        level_sizes(config.encoder, set_fields(config, {"data.size": size}).data.size_HW)
    except UsageError:
        return False
    return True
