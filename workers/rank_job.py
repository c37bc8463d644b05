"""The fit that the processes of a trial share, in a folder that they read: JSON and weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter
from torch import nn

from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset
from ..data.loader import Loader, make_loader
from ..data.samples import Sample
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..trials.checkpoint import load_weights, read_weights, write_weights
from ..trials.kinds import Task
from ..trials.trial_config import TrialConfig

_FILE, _START, _BEST = "job.json", "start.safetensors", "best.safetensors"


@dataclass(frozen=True)
class LoaderSpec:
    """The images and the order of a Loader."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    view: DataConfig
    batch_size: int
    train: bool
    seed: int
    balanced: bool

    @classmethod
    def of(cls, loader: Loader, *, train: bool, seed: int, balanced: bool) -> Self:
        """Return what another process needs to make an equal loader."""
        data = loader.dataset
        return cls(data.images, data.classes, data.config, loader.batch_size, train, seed, balanced)

    def make(self) -> Loader:
        """Make the loader."""
        dataset = LeafDataset(self.samples, self.classes, self.view, train=self.train)
        order = {"train": self.train, "seed": self.seed, "balanced": self.balanced}
        return make_loader(dataset, batch_size=self.batch_size, **order)  # type: ignore[arg-type]


@dataclass(frozen=True)
class RankJob:
    """A fit for ``world`` processes.

    ``device`` is ``cpu`` or ``cuda``; process k then has GPU k of those that it sees. ``limit`` is
    the most images that each may put through the network at once, 0 for the config's.
    """

    config: TrialConfig
    task: Task
    monitor: str
    device: str
    world: int
    limit: int
    checkpoint: Path
    loaders: tuple[LoaderSpec, LoaderSpec]

    def write(self, folder: Path, network: MultitaskNetwork) -> None:
        """Write the job and the network's weights to ``folder``."""
        (folder / _FILE).write_bytes(TypeAdapter(RankJob).dump_json(self))
        write_weights(network.state_dict(), folder / _START)

    @classmethod
    def read(cls, folder: Path) -> "RankJob":
        """Read a job that ``write`` wrote."""
        return TypeAdapter(RankJob).validate_json((folder / _FILE).read_bytes())

    def network(self, folder: Path) -> MultitaskNetwork:
        """Build the network with the weights that the fit starts from."""
        classes = len(self.loaders[0].classes)
        network = build_network(self.config.with_random_encoder().network(classes))
        load_weights(network, read_weights(folder / _START), source="the start of the trial")
        return network


def trained_part(network: MultitaskNetwork, task: Task) -> nn.Module:
    """Return the module that a fit of the task trains."""
    part = network.decoder if task == "segment" else network
    assert part is not None
    return part


def write_best(network: MultitaskNetwork, task: Task, folder: Path) -> None:
    """Write the weights of the best epoch."""
    write_weights(trained_part(network, task).state_dict(), folder / _BEST)


def load_best(network: MultitaskNetwork, task: Task, folder: Path) -> None:
    """Load the weights of the best epoch."""
    load_weights(trained_part(network, task), read_weights(folder / _BEST), source="the best epoch")
