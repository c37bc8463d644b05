"""The state of a fit, and its conversion to and from a checkpoint."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
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
from .distributed import ALONE, Ranks
from .errors import CheckpointMismatch
from .kinds import Task
from .trial_config import TrainConfig
from .weight_average import WeightAverage, interpolated


@dataclass(frozen=True)
class EpochResult:
    """A finished epoch, counted from 0: mean training losses, validation metrics and seconds.

    ``micro_batch`` is the most images that went through the network at once, 0 for whole batches.
    It is less than the config's value if memory ran out. ``last`` says that the fit ends with this
    epoch.
    """

    epoch: int
    losses: dict[str, float]
    metrics: dict[str, float]
    seconds: float
    best: bool
    micro_batch: int = 0
    last: bool = False


@dataclass
class FitState:
    """The state of a fit between two steps.

    ``trained`` is the module with trainable weights: the network or its decoder. ``average`` is
    their moving average, if the config asks for one. ``start`` has the weights before the first
    step if mixes with them are validated, else nothing.
    """

    network: MultitaskNetwork
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    config: TrainConfig
    task: Task
    device: torch.device
    identity: str
    micro_batch: int
    ranks: Ranks = ALONE
    results: list[EpochResult] = field(default_factory=list)
    best_key: tuple[float, float] | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    average: WeightAverage | None = field(init=False)
    start: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.average = WeightAverage(self.trained, self.config.ema) if self.config.ema else None
        state = self.trained.state_dict() if self.config.wise_ft is True else {}
        self.start = {name: tensor.clone() for name, tensor in state.items()}

    @property
    def ended(self) -> bool:
        """Whether no epoch is left, or ``patience`` epochs have brought no better one."""
        best = max((result.epoch for result in self.results if result.best), default=0)
        waited = len(self.results) - 1 - best
        return len(self.results) == self.config.epochs or 0 < self.config.patience <= waited

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which ``trained`` has its moving average, if there is one."""
        return nullcontext() if self.average is None else self.average.applied()

    def mixed(self, share: float) -> AbstractContextManager[None]:
        """Return a context with ``share`` of the trained weights and the rest of ``start``."""
        return nullcontext() if share == 1 else interpolated(self.trained, self.start, share)


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
    record: dict[str, Any] = {"results": [asdict(result) for result in state.results], "best_key": state.best_key}
    weights = dict(state.trained.state_dict())
    # Right after the best epoch both are equal, unless they are mixed: storing them once saves a
    # third of a large decoder's checkpoint.
    best = {} if state.results[-1].best and not state.start else state.best_weights
    average: dict[str, Tensor] = {}
    if state.average is not None:
        average, record["updates"] = state.average.tensors, state.average.updates
    optimizer = optimizer_tensors(state.optimizer)
    save_checkpoint(path, Checkpoint(weights, best, optimizer, state.identity, record, average, state.start))


def resume_fit(state: FitState, path: Path) -> None:
    """Load the state from a checkpoint.

    Raises CheckpointMismatch if it is damaged, does not fit or is of another fit.
    """
    saved = load_checkpoint(path, identity=state.identity)
    try:
        _load(state, saved, path)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = error if isinstance(error, UserError) else f"its record: {error}"
        raise CheckpointMismatch(f"checkpoint {path} does not fit ({reason}): delete it to restart this fit") from None


def _load(state: FitState, saved: Checkpoint, path: Path) -> None:
    load_weights(state.trained, saved.network, source=f"checkpoint {path}")
    load_optimizer(state.optimizer, saved.optimizer, source=f"checkpoint {path}")
    state.results = [EpochResult(**result) for result in saved.record["results"]]
    state.micro_batch = state.results[-1].micro_batch
    value, tie_break = saved.record["best_key"]
    state.best_key = (value, tie_break)
    state.best_weights = saved.best or saved.network | saved.average
    if state.average is not None:
        state.average.load(saved.average, saved.record["updates"])
    for name, tensor in state.start.items():
        tensor.copy_(saved.start[name])


def restore_point(state: FitState, checkpoint: Path | None) -> Callable[[], None]:
    """Return a function that restores weights, average and optimiser to their current state.

    Call it between two epochs. It reads the checkpoint if one exists; otherwise it keeps a copy.
    """
    if state.results and checkpoint is not None:
        return lambda: resume_fit(state, checkpoint)
    weights = copy_weights(state.trained)
    optimizer_state = {name: tensor.to("cpu", copy=True) for name, tensor in optimizer_tensors(state.optimizer).items()}
    average = state.average and state.average.copy()

    def restore() -> None:
        load_weights(state.trained, weights, source="the epoch's start")
        load_optimizer(state.optimizer, optimizer_state, source="the epoch's start")
        if state.average is not None and average is not None:
            state.average.load(average.tensors, average.updates)

    return restore
