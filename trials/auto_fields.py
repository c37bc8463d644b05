"""Replace the ``auto`` values of a trial's config by those that suit its encoder."""

from typing import Any

from ..models.frozen_part import frozen_part
from ..models.hub_weights import pretrained_view
from .trial_config import TrialConfig


def resolve_auto(config: TrialConfig) -> TrialConfig:
    """Return ``config`` with a value in place of each ``auto``; every other value stays.

    Mean, standard deviation and interpolation are those of timm's config of the encoder, whatever
    its weights are. With pretrained weights the BatchNorm statistics are frozen and a pooled head
    starts from the linear probe; random weights have no statistics and no features to keep. A head
    that starts from the probe is a classifier to interpolate with, half and half. Of the encoder's
    children, those are frozen that the papers freeze. The encoder must be known: call this after
    the space has chosen one.
    """
    data, train, encoder = config.data, config.train, config.encoder
    own: dict[str, Any] = pretrained_view(config.encoder.name)
    view = {name: value for name, value in own.items() if getattr(data, name) == "auto"}
    pretrained = config.encoder.weights != "none"
    recipe: dict[str, Any] = {}
    if train.frozen_bn == "auto":
        recipe["frozen_bn"] = pretrained
    if train.head_start == "auto":
        recipe["head_start"] = "probe" if pretrained and not config.plugin.width else "random"
    if train.wise_ft == "auto":
        recipe["wise_ft"] = recipe.get("head_start", train.head_start) == "probe"
    if encoder.frozen_children == "auto":
        encoder = encoder.model_copy(update={"frozen_children": frozen_part(encoder).children})
    return config.model_copy(
        update={
            "encoder": encoder,
            "data": data.model_copy(update=view),
            "train": train.model_copy(update=recipe),
        }
    )
