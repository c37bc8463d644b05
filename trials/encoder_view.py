"""Give a trial the normalisation and interpolation that its encoder was pretrained with."""

from typing import Any

from ..models.hub_weights import pretrained_view
from .trial_config import TrialConfig


def resolve_view(config: TrialConfig) -> TrialConfig:
    """Return ``config`` with the encoder's own value for each ``auto`` of mean, std, interpolation.

    The values are those of timm's config of the encoder, whatever its weights are. Every other
    value stays. The encoder must be known: call this after the space has chosen one.
    """
    data = config.data
    own: dict[str, Any] = pretrained_view(config.encoder.name)
    chosen = {name: value for name, value in own.items() if getattr(data, name) == "auto"}
    return config.model_copy(update={"data": data.model_copy(update=chosen)}) if chosen else config
