"""Weights on disk: tensors only, in one safetensors file."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import UserError
from ..models.network import MultitaskNetwork
from .files import written_aside

DECODER = "decoder."
# Of an ensemble, what votes beside its first member.
_COMPANY = ("others.", "masks.")


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors, aside first. Raises OSError if the disk is full."""
    try:
        with written_aside(path) as aside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside)
            # safetensors keeps its files to their owner; a bundle is there to be shared.
            aside.chmod(0o644)
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """The named tensors of a file; UserError if it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"weights {path} cannot be read ({error}): bring the file again") from None


def decoder_weights(network: MultitaskNetwork) -> dict[str, Tensor]:
    """The decoder's share of the network's weights."""
    return {name: tensor for name, tensor in network.state_dict().items() if name.startswith(DECODER)}


def base_weights(network: MultitaskNetwork) -> dict[str, Tensor]:
    """Encoder, gate and head: everything but the decoder; of an ensemble those of its first member."""
    return {name: tensor for name, tensor in network.state_dict().items() if not name.startswith((DECODER, *_COMPANY))}
