"""The resumable state of a fit in one safetensors file: written aside and renamed, read strictly, never a pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import UserError
from ..models.network import MultitaskNetwork
from .files import written_aside

FORMAT = "venation-checkpoint-1"
_PARTS = ("network", "best", "optimizer")
DECODER = "decoder."
# Of an ensemble, what votes beside its first member.
_COMPANY = ("others.", "masks.")


class CheckpointMisfit(UserError):
    """A checkpoint that this fit cannot go on from: damaged, of another config, or of another version."""


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a fit by part, and ``record``, plain data: what was reached, and the ``identity`` of the fit."""

    network: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    identity: str
    record: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace ``path`` by this state, or leave it as it was. Raises UserError if it cannot be written."""
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part in _PARTS
        for name, tensor in getattr(checkpoint, part).items()
    }
    metadata = {"format": FORMAT, "identity": checkpoint.identity, "record": json.dumps(checkpoint.record)}
    try:
        # Every epoch writes it anew: to wait for the disk each time doubled the time of short epochs. What a power cut
        # tears is refused when it is read, and the fit starts again.
        with written_aside(path, synced=False) as aside:
            save_file(tensors, aside, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise UserError(f"checkpoint {path} cannot be written ({error}): free space or choose another folder") from None


def load_checkpoint(path: Path, *, identity: str) -> Checkpoint:
    """Read a state. Raises CheckpointMisfit if the file is damaged or belongs to another fit."""
    metadata = _metadata(path)
    if metadata["identity"] != identity:
        raise CheckpointMisfit(f"checkpoint {path} is of another config: delete it or choose another path")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    parts = {part: _part(tensors, part) for part in _PARTS}
    return Checkpoint(**parts, identity=identity, record=json.loads(metadata["record"]))


def read_record(path: Path) -> dict[str, Any]:
    """The plain data of a state, whichever fit it belongs to. Raises CheckpointMisfit if the file is damaged."""
    record: dict[str, Any] = json.loads(_metadata(path)["record"])
    return record


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


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Fill a module's weights and buffers, all of them and nothing else, in place.

    Raises UserError that names ``source``, the key and, where they differ, both shapes.
    """
    own = module.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        if name not in weights:
            raise UserError(f"{source} lacks `{name}`, which the network has: use the config it was made with")
        if name not in own:
            raise UserError(f"{source} holds `{name}`, which the network lacks: use the config it was made with")
        if own[name].shape != weights[name].shape:
            shapes = f"shape {tuple(weights[name].shape)} there and {tuple(own[name].shape)} in the network"
            raise UserError(f"{source}: `{name}` has {shapes}: use the config it was made with")
    module.load_state_dict(dict(weights))


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """The module's weights and buffers, copied to CPU memory."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as ``<parameter index>.<name>``; its settings come from the config."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Put an optimiser's state back. Raises UserError where it does not fit the parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        at = int(index)
        if at >= len(parameters) or tensor.shape not in (parameters[at].shape, torch.Size()):
            own = tuple(parameters[at].shape) if at < len(parameters) else "no such parameter"
            shapes = f"shape {tuple(tensor.shape)} there and {own} in the network"
            raise UserError(f"{source}: `optimizer.{key}` has {shapes}: use the config it was made with")
        state.setdefault(at, {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointMisfit(f"{path} is no checkpoint of this version ({FORMAT}): delete it to start this fit again")
    return metadata


def _unreadable(path: Path, error: Exception) -> CheckpointMisfit:
    return CheckpointMisfit(f"checkpoint {path} cannot be read ({error}): delete it to start this fit again")


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
