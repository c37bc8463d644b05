"""The only door from a config to a network."""

from torch import nn

from .config import NetworkConfig
from .decoders import MNSADecoder, UNetDecoder
from .encoder import Encoder, build_encoder
from .gate import SpatialGate
from .network import MultitaskNetwork


def build_network(config: NetworkConfig) -> MultitaskNetwork:
    """The network that ``config`` describes, in training mode, freshly initialised except for encoder weights.

    Raises UsageError for an unknown or unfit encoder and UserError for weights that are missing or do not fit.
    """
    encoder = build_encoder(config.encoder)
    return MultitaskNetwork(
        encoder,
        SpatialGate(config.gate),
        _build_decoder(encoder, config),
        num_classes=config.num_classes,
        full_size=config.decoder.full_size,
    )


def _build_decoder(encoder: Encoder, config: NetworkConfig) -> nn.Module | None:
    match config.decoder.kind:
        case "none":
            return None
        case "unet":
            return UNetDecoder(encoder.out_channels, config.decoder)
        case "mnsa":
            return MNSADecoder(encoder.out_channels, config.decoder)
