"""The state of a fit, and its conversion to and from a checkpoint."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..models.network import MultitaskNetwork
from .checkpoint import (
    Checkpoint,
    copy_weights,
    load_checkpoint,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    save_checkpoint,
)
from .kinds import Task
from .trial_config import TrainConfig


@dataclass(frozen=True)
class EpochResult:
    """A finished epoch, counted from 0: mean training losses, validation metrics and seconds.

    ``micro_batch`` is the most images that went through the network at once, 0 for whole batches.
    It is less than the config's value if memory ran out.
    """

    epoch: int
    losses: dict[str, float]
    metrics: dict[str, float]
    seconds: float
    best: bool
    micro_batch: int = 0


@dataclass
class FitState:
    """The state of a fit between two steps.

    ``trained`` is the module with trainable weights: the network or its decoder.
    """

    network: MultitaskNetwork
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    config: TrainConfig
    task: Task
    device: torch.device
    identity: str
    micro_batch: int
    results: list[EpochResult] = field(default_factory=list)
    best_key: tuple[float, float] | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def fit_identity(network: MultitaskNetwork, config: TrainConfig, rest: str, *, trained: nn.Module) -> str:
    """Return a digest of everything that determines a fit except the images.

    It covers the config, the shapes of trained weights and the values of frozen weights.
    """
    digest = hashlib.sha256(f"{config.model_dump_json()} {rest}".encode())
    for name, tensor in trained.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
    if trained is not network:
        for name, tensor in network.state_dict().items():
            if not name.startswith("decoder."):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_fit(state: FitState, path: Path) -> None:
    """Write the state after an epoch to a checkpoint. Raises UserError if it cannot be written."""
    record = {"results": [asdict(result) for result in state.results], "best_key": state.best_key}
    weights = dict(state.trained.state_dict())
    # Right after the best epoch both are equal: storing them once saves a third of a large
    # decoder's checkpoint.
    best = {} if state.results[-1].best else state.best_weights
    save_checkpoint(path, Checkpoint(weights, best, optimizer_tensors(state.optimizer), state.identity, record))


def resume_fit(state: FitState, path: Path) -> None:
    """Load the state from a checkpoint.

    Raises UserError if the weights do not fit, CheckpointMismatch if the fit is another one.
    """
    saved = load_checkpoint(path, identity=state.identity)
    load_weights(state.trained, saved.network, source=f"checkpoint {path}")
    load_optimizer(state.optimizer, saved.optimizer, source=f"checkpoint {path}")
    state.results = [EpochResult(**result) for result in saved.record["results"]]
    state.micro_batch = state.results[-1].micro_batch
    value, tie_break = saved.record["best_key"]
    state.best_key = (value, tie_break)
    state.best_weights = saved.best or saved.network


def restore_point(state: FitState, checkpoint: Path | None) -> Callable[[], None]:
    """Return a function that restores the weights and the optimiser to their current state.

    Call it between two epochs. It reads the checkpoint if one exists; otherwise it keeps a copy.
    """
    if state.results and checkpoint is not None:
        return lambda: resume_fit(state, checkpoint)
    weights = copy_weights(state.trained)
    optimizer_state = {name: tensor.to("cpu", copy=True) for name, tensor in optimizer_tensors(state.optimizer).items()}

    def restore() -> None:
        load_weights(state.trained, weights, source="the epoch's start")
        load_optimizer(state.optimizer, optimizer_state, source="the epoch's start")

    return restore
