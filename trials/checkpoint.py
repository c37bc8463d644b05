"""Weights and resumable fits on disk, as safetensors files: written atomically, never pickled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import UserError
from ..models.finite import require_finite
from ..models.network import MultitaskNetwork
from .errors import CheckpointMismatch
from .files import atomic_write

FORMAT = "venation-checkpoint-1"
_HASH = "sha256"
_PARTS = ("network", "best", "optimizer", "average", "start")
DECODER = "decoder."
# Weights of an ensemble's other members.
_OTHER_MEMBERS = ("others.", "masks.")


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a fit by part, and ``record``: its progress as plain data.

    ``average`` and ``start`` are empty in a fit without averaged or interpolated weights.
    ``identity`` tells fits apart.
    """

    network: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    identity: str
    record: dict[str, Any]
    average: dict[str, Tensor] = field(default_factory=dict)
    start: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace ``path`` atomically by this state. Raises UserError if it cannot be written."""
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part in _PARTS
        for name, tensor in getattr(checkpoint, part).items()
    }
    record = json.dumps(checkpoint.record)
    metadata = {"format": FORMAT, "identity": checkpoint.identity, "record": record}
    metadata[_HASH] = _content_hash(tensors, checkpoint.identity, record)
    try:
        # Every epoch writes a checkpoint: waiting for the disk doubled the time of short epochs. A
        # file that a power failure damages is detected when read, and the fit restarts.
        with atomic_write(path, fsync=False) as aside:
            save_file(tensors, aside, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise UserError(f"checkpoint {path} cannot be written ({error}): free space or choose another folder") from None


def load_checkpoint(path: Path, *, identity: str) -> Checkpoint:
    """Read a state. Raises CheckpointMismatch if the file is damaged or belongs to another fit."""
    metadata = _metadata(path)
    if metadata.get("identity") != identity:
        raise CheckpointMismatch(f"checkpoint {path} is of another config: delete it or choose another path")
    record = read_record(path)
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    # Version 0.1 wrote no hash; a damaged name of the hash must not look like it.
    if not metadata.keys() <= {"format", "identity", "record", _HASH}:
        raise _unreadable(path, "its metadata have other names")
    if _HASH in metadata and metadata[_HASH] != _content_hash(tensors, identity, metadata["record"]):
        raise _unreadable(path, "it was changed: its hash is not the recorded one")
    parts = {part: _part(tensors, part) for part in _PARTS}
    return Checkpoint(**parts, identity=identity, record=record)


def read_record(path: Path) -> dict[str, Any]:
    """Return the plain data of a checkpoint of any fit.

    Raises CheckpointMismatch if the file is damaged.
    """
    try:
        record = json.loads(_metadata(path)["record"])
        if not isinstance(record, dict):
            raise ValueError("its record is no mapping")
    except (KeyError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointMismatch):
            raise
        raise _unreadable(path, f"its record: {error}") from None
    return record


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write named tensors atomically. Raises OSError if the disk is full."""
    try:
        with atomic_write(path) as aside:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, aside)
            # safetensors makes files readable by their owner only, but bundles are shared.
            aside.chmod(0o644)
    except SafetensorError as error:
        raise OSError(f"cannot write {path}: {error}") from None


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file.

    Raises UserError if it is missing or damaged, or has numbers that are not finite.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"weights {path} cannot be read ({error}): restore the file") from None
    require_finite(tensors, f"weights {path}")
    return tensors


def decoder_weights(network: MultitaskNetwork) -> dict[str, Tensor]:
    """Return the weights of the network's decoder."""
    return {name: tensor for name, tensor in network.state_dict().items() if name.startswith(DECODER)}


def base_weights(network: MultitaskNetwork) -> dict[str, Tensor]:
    """Return the weights of encoder, gate and head; of an ensemble, those of its first member."""
    return {
        name: tensor for name, tensor in network.state_dict().items() if not name.startswith((DECODER, *_OTHER_MEMBERS))
    }


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Load all weights and buffers of a module, in place.

    Raises UserError as ``check_weights`` does.
    """
    check_weights(module, weights, source=source)
    module.load_state_dict(dict(weights))


def check_weights(module: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Check that all weights and buffers of a module are there; it may be on the meta device.

    The names must match exactly. Raises UserError with ``source``, the name and, if they differ,
    both shapes or types.
    """
    expected = module.state_dict()
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise UserError(f"{source} lacks `{name}`, which the network has: use the config it was made with")
        if name not in expected:
            raise UserError(f"{source} has `{name}`, which the network lacks: use the config it was made with")
        if expected[name].dtype != weights[name].dtype:
            types = f"type {weights[name].dtype} in the file and {expected[name].dtype} in the network"
            raise UserError(f"{source}: `{name}` has {types}: use the config it was made with")
        if expected[name].shape != weights[name].shape:
            shapes = f"shape {tuple(weights[name].shape)} in the file and {tuple(expected[name].shape)} in the network"
            raise UserError(f"{source}: `{name}` has {shapes}: use the config it was made with")


def copy_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the module's weights and buffers in CPU memory."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in module.state_dict().items()}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as ``<parameter index>.<name>``; the config has its settings."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Restore an optimiser's state. Raises UserError if it does not fit the parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        at = int(index)
        if at >= len(parameters) or tensor.shape not in (parameters[at].shape, torch.Size()):
            known = tuple(parameters[at].shape) if at < len(parameters) else "no such parameter"
            shapes = f"shape {tuple(tensor.shape)} in the file and {known} in the network"
            raise UserError(f"{source}: `optimizer.{key}` has {shapes}: use the config it was made with")
        # The fused kernels read weights and moments in the order of memory.
        laid_out = torch.empty_like(parameters[at]) if tensor.ndim else torch.empty_like(tensor)
        state.setdefault(at, {})[name] = laid_out.copy_(tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointMismatch(
            f"{path} is not a checkpoint of this version ({FORMAT}): delete it to restart this fit"
        )
    return metadata


def _content_hash(tensors: Mapping[str, Tensor], identity: str, record: str) -> str:
    """Return the sha256 of everything that a checkpoint holds."""
    digest = hashlib.sha256(json.dumps([identity, record]).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _unreadable(path: Path, error: Exception | str) -> CheckpointMismatch:
    return CheckpointMismatch(f"checkpoint {path} cannot be read ({error}): delete it to restart this fit")


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
