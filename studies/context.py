"""The context of a study's trials on this machine."""

import functools
from pathlib import Path

import torch
from optuna.trial import FrozenTrial

from ..data.manifest import Manifest
from ..leases.budget import unless_deleted
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..storage.artifacts import Artifacts
from ..trials.device import choose_device
from ..trials.fitting import load_fitting
from ..trials.image_masks import ImageMasks
from ..trials.image_outcomes import ImageOutcomes
from ..trials.mask_metrics import MaskOutcomes
from ..trials.metrics import LabelOutcomes
from ..trials.trial_config import TrialConfig
from .baseline import Baseline
from .data import StudyData, open_data
from .feature_store import FeatureStore
from .first_weights import stored_first_weights
from .fold_data import fold_manifests
from .frozen_base import FrozenBase
from .loaders import Loaders


class StudyContext:
    """A study with all that its trials use on this machine: data, base, device, store.

    A network is trained by ``processes`` processes together.
    """

    def __init__(
        self,
        handle: StudyHandle,
        artifacts: Artifacts,
        data: StudyData,
        device: torch.device,
        *,
        processes: int = 1,
    ) -> None:
        self.handle = handle
        self.artifacts = artifacts
        self.manifest = data.manifest
        self.device = device
        self.processes = processes
        self.loaders = Loaders(data.manifest, handle.spec.kind.facts.task)
        self.frozen = FrozenBase(handle, artifacts)
        self.baseline = Baseline(handle, artifacts, data.manifest, device, lambda: self.folds)
        self.features = FeatureStore(self.frozen, artifacts, data.manifest, device, self.network)
        self._data = data
        self._fold: tuple[int, Loaders] | None = None

    def check_data(self) -> None:
        """Raise DataError if the files have changed since they were opened; it is cheap."""
        self._data.check()

    @property
    def spec(self) -> StudySpec:
        """The study's spec."""
        return self.handle.spec

    @property
    def num_classes(self) -> int:
        """The number of classes of the data."""
        return len(self.manifest.classes)

    @functools.cached_property
    def folds(self) -> tuple[Manifest, ...]:
        """The data of each fold: its images are the validation split; empty without folds."""
        return fold_manifests(self.manifest, folds=self.spec.folds, seed=self.spec.split.seed)

    def fold_loaders(self, fold: int) -> Loaders:
        """Return the loaders of one fold; only those of the last fold stay in memory."""
        if self._fold is None or self._fold[0] != fold:
            self._fold = (fold, Loaders(self.folds[fold], self.spec.kind.facts.task))
        return self._fold[1]

    @property
    def ready(self) -> bool:
        """Whether trials can start: a study with a base waits until the base study has ended."""
        return self.spec.base is None or self.frozen.ready

    @property
    def base(self) -> FrozenTrial:
        """The frozen classifier trial of a study that is ready."""
        return self.frozen.trial

    def image_outcomes(self, labels: LabelOutcomes, manifest: Manifest | None = None) -> ImageOutcomes:
        """Return what a trial answered on each validation image, with the images' keys.

        ``manifest`` is that of a fold.
        """
        images = [self.manifest.key(sample) for sample in (manifest or self.manifest).split("val")]
        return ImageOutcomes.of(labels, images, self.manifest.classes)

    def image_masks(self, masks: MaskOutcomes, manifest: Manifest | None = None) -> ImageMasks:
        """Return the counts of a trial's masks on each validation image that has a mask."""
        samples = (manifest or self.manifest).split("val")
        return ImageMasks(tuple(self.manifest.key(sample) for sample in samples if sample.mask is not None), masks)

    def network(self, config: TrialConfig) -> MultitaskNetwork:
        """Build the network of ``config``, with the weights of the base and those to start from."""
        # The initial weights must not depend on the trials that this worker ran before.
        torch.manual_seed(config.train.seed)
        if self.spec.base is None and self.spec.init is None:
            return build_network(config.network(self.num_classes))
        network = build_network(config.with_random_encoder().network(self.num_classes))
        if self.spec.base is not None:
            self.frozen.load_into(network)
        if self.spec.init is not None:
            load_fitting(network, stored_first_weights(self.handle, self.artifacts))
        return network


def open_context(
    handle: StudyHandle, artifacts: Artifacts, *, device: str, data: Path | None = None, processes: int = 1
) -> StudyContext:
    """Load and check the study's data and choose the device.

    Raises DataError, UsageError, StudyDeleted.
    """
    with unless_deleted(handle):
        found = open_data(handle, artifacts, data)
        return StudyContext(handle, artifacts, found, choose_device(device), processes=processes)
