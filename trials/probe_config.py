"""The encoder and the view of a linear probe."""

from pathlib import Path

from ..data.data_config import DataConfig
from ..data.fingerprint import file_hash
from ..models.hub_weights import found_offline
from ..models.network_config import EncoderConfig
from ..models.package_weights import package_for
from .auto_fields import resolve_auto
from .trial_config import TrialConfig

# Its weights come with an installed package.
DEFAULT_ENCODER = "tf_efficientnet_lite0"

_OWN_VIEW = {"mean": "auto", "std": "auto", "interpolation": "auto"}


def probe_config(encoder: str, data: DataConfig) -> TrialConfig:
    """Return the config of a probe on timm's pretrained ``encoder``.

    Images are fitted as ``data`` says, and normalised and resized as the encoder's own images were.
    """
    return resolve_auto(
        TrialConfig(
            encoder=EncoderConfig(name=encoder, weights="pretrained", frozen=True),
            gate="none",
            data=data.model_copy(update=_OWN_VIEW),
        )
    )


def choose_probe(config: TrialConfig) -> TrialConfig | None:
    """Return the config of the probe that is the baseline of ``config``, or None.

    Its encoder is that of ``config`` if that has weights, or has pretrained ones on this machine;
    else EfficientNet-Lite0. It is None if neither has weights here.
    """
    encoder = config.encoder
    if encoder.weights not in ("none", "pretrained"):
        # Only the user knows which images these weights have seen.
        frozen = EncoderConfig(name=encoder.name, weights=encoder.weights, frozen=True)
        return resolve_auto(TrialConfig(encoder=frozen, gate="none", data=config.data))
    if encoder.weights == "pretrained" or found_offline(encoder.name):
        return probe_config(encoder.name, config.data)
    return probe_config(DEFAULT_ENCODER, config.data) if found_offline(DEFAULT_ENCODER) else None


def weights_hash(encoder: EncoderConfig) -> str | None:
    """Return what identifies the weights of an encoder without a build; None for those of a hub.

    Raises DataError if a file of weights cannot be read.
    """
    if encoder.weights == "pretrained":
        package = package_for(encoder.name)
        found = package.sha256 if package and package.find() else None
    else:
        found = file_hash(Path(encoder.weights))
    return found and f"{encoder.name} {found}"
