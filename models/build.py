"""Build a network from its config."""

from collections.abc import Sequence

from torch import nn

from .decoders import MNSADecoder, UNetDecoder
from .encoder import Encoder, build_encoder, level_sizes
from .gate import SpatialGate
from .network import MultitaskNetwork
from .network_config import DecoderConfig, NetworkConfig
from .plugin import PluginModule
from .pyramid import PyramidDecoder, SimpleFeaturePyramid
from .refinement_head import DetailDecoder
from .tuned_encoder import TunedEncoderDecoder
from .unet3p import UNet3pDecoder, UNet3pReferenceDecoder


def build_network(config: NetworkConfig) -> MultitaskNetwork:
    """Build the network of ``config`` in training mode.

    All weights are newly initialised, except the encoder weights that the config names. Raises
    UsageError for an unknown or unsuitable encoder and UserError for weights that are missing or do
    not fit.
    """
    encoder = build_encoder(config.encoder, config.channels)
    return MultitaskNetwork(
        encoder,
        SpatialGate(config.gate),
        _build_decoder(encoder, config),
        num_classes=config.num_classes,
        full_size=config.decoder.full_size,
        mask_classes=config.decoder.classes,
        plugin=_build_plugin(encoder, config),
    )


def _build_plugin(encoder: Encoder, config: NetworkConfig) -> PluginModule | None:
    if not config.plugin.width:
        return None
    return PluginModule(
        encoder.out_channels,
        level_sizes(config.encoder, config.size),
        config.plugin,
        num_classes=config.num_classes,
        tokens=encoder.tokens,
    )


def _build_decoder(encoder: Encoder, network: NetworkConfig) -> nn.Module | None:
    """Build the decoder, or None.

    The levels of a plain transformer all have one size: a feature pyramid then comes first.
    """
    config = network.decoder
    if config.kind == "none":
        return None
    if len(set(encoder.reductions)) > 1:
        decoder = _build_bare_decoder(encoder.out_channels, config)
    else:
        pyramid = SimpleFeaturePyramid(encoder.out_channels[-1])
        decoder = PyramidDecoder(pyramid, _build_bare_decoder(pyramid.out_channels, config))
    whole = decoder
    if config.detail:
        whole = DetailDecoder(decoder, config.detail, maps=config.maps, channels=network.channels)
    if not config.tune_encoder:
        return whole
    own = network.encoder.model_copy(update={"frozen": False, "weights": "none"})
    return TunedEncoderDecoder(build_encoder(own, network.channels), whole)


def _build_bare_decoder(channels: Sequence[int], config: DecoderConfig) -> nn.Module:
    match config.kind:
        case "unet":
            return UNetDecoder(channels, config)
        case "unet3p":
            return UNet3pDecoder(channels, config)
        case "unet3p_ref":
            return UNet3pReferenceDecoder(channels, config)
        case "mnsa":
            return MNSADecoder(channels, config)
        case _:
            # Imported only here: it takes as long as torch itself, and most networks do not need
            # it.
            from .smp_decoders import SMPDecoder

            return SMPDecoder(channels, config)
