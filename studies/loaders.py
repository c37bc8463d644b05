"""The images of a study on this machine, decoded once and kept for the next trial."""

from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset
from ..data.loader import Loader, make_loader
from ..data.manifest import Manifest
from ..trials.kinds import Task, single_tasks
from ..trials.trial_config import TrialConfig


class Loaders:
    """Loaders over the splits of one study; its trials share the decoded images."""

    def __init__(self, manifest: Manifest, task: Task | None) -> None:
        self._manifest = manifest
        self._learns_masks = task is not None and "segment" in single_tasks(task)
        self._datasets: dict[tuple[DataConfig, str], LeafDataset] = {}

    def make(self, config: TrialConfig, split: str) -> Loader:
        """Return a loader over the batches of one split; training is shuffled and augmented."""
        train = split == "train"
        # A background blanked by the mask would give a decoder the answer.
        view = config.data.model_copy(update={"blank": 0.0}) if self._learns_masks else config.data
        key = (view, split)
        if key not in self._datasets:
            # One view at a time: a search over the image size must not keep every size in memory.
            self._datasets = {k: v for k, v in self._datasets.items() if k[0] == view}
            self._datasets[key] = LeafDataset(self._manifest.split(split), self._manifest.classes, view, train=train)
        return make_loader(
            self._datasets[key],
            batch_size=config.train.batch_size,
            train=train,
            seed=config.train.seed,
            balanced=train and config.train.balance == "sampler",
        )
