"""Load the tensors of another network that fit a network by name and shape.

Shapes: N classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UserError
from ..models.encoder_weights import load_encoder_weights, matching_tensors
from ..models.network import MultitaskNetwork
from .checkpoint import DECODER

_BODY = "encoder.body."
_HEAD = ("head.weight", "head.bias")
# Weights of an ensemble's other members, and a decoder's own encoder, which starts as its base's.
_OTHERS = ("others.", "masks.", f"{DECODER}encoder.")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Fitted:
    """The tensors that a network took over, and the names of the others.

    ``fresh`` are tensors of the network that keep their own start; ``left`` are given tensors that
    fit none of the network, with their shapes.
    """

    taken: dict[str, Tensor]
    fresh: tuple[str, ...]
    left: tuple[str, ...]


def load_fitting(network: MultitaskNetwork, given: Mapping[str, Tensor]) -> Fitted:
    """Load every tensor of ``given`` that has a name and shape of the network's; return which."""
    own = network.state_dict()
    taken = {name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(own | taken)
    left = (f"{name} {tuple(tensor.shape)}" for name, tensor in given.items() if name not in taken)
    return Fitted(taken, tuple(name for name in own if name not in taken and not name.endswith(_COUNTER)), tuple(left))


def adapt_tensors(
    network: MultitaskNetwork,
    given: Mapping[str, Tensor],
    *,
    encoder: str,
    classes: Sequence[str],
    given_classes: Sequence[str],
    source: str,
) -> dict[str, Tensor]:
    """Return ``given`` under the names of a network whose encoder is timm's ``encoder``.

    The encoder must be complete; its tensors may have timm's names, and a first layer for RGB is
    adapted to the network's channels. The rows of a linear head are brought into the order of
    ``classes``; a head of other classes is left out. ``given_classes`` are empty where unknown.

    Raises UserError with ``source`` that says how many tensors of the encoder fit.
    """
    body = {name.removeprefix(_BODY): tensor for name, tensor in given.items() if name.startswith(_BODY)} or given
    wanted = network.encoder.body.state_dict()
    try:
        load_encoder_weights(network.encoder.body, encoder, body, source=source)
    except UserError as error:
        fit, needed = matching_tensors(wanted, body), sum(not name.endswith(_COUNTER) for name in wanted)
        raise UserError(f"{fit} of {needed} tensors of {encoder} are in {source}: {error}") from None
    found = {f"{_BODY}{name}": tensor for name, tensor in network.encoder.body.state_dict().items()}
    if body is not given:
        found |= {name: tensor for name, tensor in given.items() if not name.startswith((_BODY, *_OTHERS))}
    if given_classes and sorted(given_classes) != sorted(classes):
        return {name: tensor for name, tensor in found.items() if name not in _HEAD}
    if given_classes:
        order_N = torch.tensor([list(given_classes).index(name) for name in classes])
        found |= {name: found[name][order_N] for name in _HEAD if name in found}
    return found


def decoder_tensors(network: MultitaskNetwork, given: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Return the tensors of ``given`` that belong to a decoder.

    Raises UserError with ``source`` if none fits the network's.
    """
    found = {name: t for name, t in given.items() if name.startswith(DECODER) and not name.startswith(_OTHERS)}
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(DECODER)}
    if not [name for name, tensor in found.items() if name in own and own[name].shape == tensor.shape]:
        raise UserError(
            f"0 of the {len(own)} tensors of this decoder are in {source}, which has {len(found)} of a decoder: give"
            " one with this decoder, or its kind and widths with --set decoder.*"
        )
    return found
