"""The parameter groups of an optimiser: weight decay, and factors on the learning rate."""

from typing import Any

from torch import nn

from ..models.network import MultitaskNetwork
from ..models.stages import parameter_stages
from ..models.tuned_encoder import TunedEncoderDecoder
from .trial_config import TrainConfig

# The key under which a group keeps the factor on its learning rate, as in timm's optimisers.
LR_SCALE = "lr_scale"


def parameter_groups(module: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Return the groups of a module's trainable parameters, each in the module's order.

    SGD decays every parameter, as in the papers. AdamW does not decay vectors and scalars (biases,
    norms). Groups also differ by the factor on the learning rate, which ``lr_factors`` gives to the
    encoder's and the decoder's parameters; other parameters have 1.
    """
    factors = lr_factors(module, config) if isinstance(module, MultitaskNetwork | TunedEncoderDecoder) else {}
    members: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            decays = config.optimizer == "sgd" or parameter.ndim > 1
            members.setdefault((decays, factors.get(name, 1.0)), []).append(parameter)
    # The decaying groups come first: a checkpoint numbers the parameters in this order.
    ordered = sorted(members.items(), key=lambda item: not item[0][0])
    return [
        {"params": kept, "weight_decay": config.weight_decay if decays else 0.0, LR_SCALE: factor}
        for (decays, factor), kept in ordered
    ]


def lr_factors(network: MultitaskNetwork | TunedEncoderDecoder, config: TrainConfig) -> dict[str, float]:
    """Return the factor on the learning rate of the encoder's and decoder's parameters, by name.

    Where the decoder is trained with the rest of a network, its factor is ``decoder_lr``. That of
    the encoder is ``encoder_lr`` x ``layer_decay`` ** k for the k-th stage from the head, which
    itself has the factor 1 (discriminative rates, Howard and Ruder, arXiv 1801.06146; BEiT, arXiv
    2106.08254).
    """
    stages = parameter_stages(network.encoder.body)
    number = max(stages.values()) + 1
    factors = {
        f"encoder.body.{name}": config.encoder_lr * config.layer_decay ** (number - stage)
        for name, stage in stages.items()
    }
    if isinstance(network, MultitaskNetwork) and network.decoder is not None:
        factors |= {f"decoder.{name}": config.decoder_lr for name, _ in network.decoder.named_parameters()}
    return factors
