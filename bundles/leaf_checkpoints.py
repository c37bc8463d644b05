"""Read checkpoints of MGANet, XMNet and MNSA in the format of their authors' code.

Shapes: C channels of the last level, N classes.
"""

import logging
from collections.abc import Mapping
from typing import Literal, get_args

from torch import Tensor

from ..errors import UsageError, UserError
from ..models.encoder_weights import load_encoder_weights
from ..models.network import MultitaskNetwork
from .leaf_decoders import load_decoder

log = logging.getLogger(__name__)

LeafSystem = Literal["mganet", "xmnet", "mnsa"]
LEAF_SYSTEMS = get_args(LeafSystem)

# The encoder is called so by XMNet and MNSA, then by MGANet; the others are copies of its parts.
_ENCODERS = ("features.features.", "features.")
_COPIES = ("features.", "Encoders.")
_GATE, _HEAD = "attention.weight", ("classifier.weight", "classifier.bias")
# Their code wraps a resnet's children in a list, which loses the names.
_RESNET = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


def check_leaf_encoder(encoder: str) -> None:
    """Raise UsageError for an encoder that means something else in the published code."""
    if not encoder.startswith(("densenet", "resnet")):
        raise UsageError(
            f"checkpoints with {encoder} cannot be imported, because the published network has other layers than"
            " timm's: give --encoder densenet161 or a resnet"
        )


def num_classes(given: Mapping[str, Tensor], *, source: str) -> int:
    """Return the number of classes. Raises UserError with ``source`` without a linear head."""
    head = given.get(_HEAD[0])
    if head is None or head.dim() != 2 or _GATE not in given:
        lacking = _GATE if head is not None and head.dim() == 2 else _HEAD[0]
        raise UserError(
            f"{source} lacks `{lacking}` of a classifier with a gate, so it is not a checkpoint of MGANet, XMNet or"
            " MNSA: give another file or --system"
        )
    return len(head)


def load_leaf_weights(network: MultitaskNetwork, given: Mapping[str, Tensor], *, encoder: str, source: str) -> None:
    """Load encoder, gate and head into a network whose encoder is timm's ``encoder``.

    The network's decoder, if it has one, is loaded too; another one in the checkpoint is left out,
    with a warning. Raises UserError for the first tensor
    that is missing or does not fit, with both shapes.
    """
    assert network.head is not None and network.gate.weigh is not None
    prefix = next((prefix for prefix in _ENCODERS if any(key.startswith(prefix) for key in given)), _ENCODERS[-1])
    body = {
        _timm_name(key.removeprefix(prefix), encoder): tensor for key, tensor in given.items() if key.startswith(prefix)
    }
    load_encoder_weights(network.encoder.body, encoder, body, source=f"{source} (its encoder)")
    ours = {_GATE: network.gate.weigh.weight, _HEAD[0]: network.head.weight, _HEAD[1]: network.head.bias}
    for key, parameter in ours.items():
        tensor = given.get(key)
        if tensor is None or tensor.shape != parameter.shape:
            has = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
            raise UserError(f"{source}: `{key}` needs shape {tuple(parameter.shape)}, the file has {has}")
        parameter.data.copy_(tensor)
    drawn = set() if network.decoder is None else load_decoder(network, given, source=source)
    if left := [key for key in given if key not in ours and key not in drawn and not key.startswith(_COPIES)]:
        log.warning("%s: %d tensors of a decoder are not imported, for example %s", source, len(left), left[0])


def _timm_name(key: str, encoder: str) -> str:
    """Return timm's name of a tensor of the encoder."""
    if not encoder.startswith("resnet"):
        return f"features.{key}"
    child, dot, rest = key.partition(".")
    return f"{_RESNET.get(child, child)}{dot}{rest}"
