"""What a worker keeps of a study between its trials: the data in memory, the frozen base, the features."""

import functools
import logging
from pathlib import Path

import torch
from optuna.trial import FrozenTrial

from ..data.data_config import DataConfig
from ..data.dataset import LeafDataset, Loader, make_loader
from ..errors import DataError, UserError
from ..leases.budget import unless_deleted
from ..models.build import build_network
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..search.spec import StudySpec
from ..storage.artifacts import Artifacts, StoreFailed, get_file, list_files, put_file
from ..storage.embedded import home
from ..storage.owner_markers import marker_id
from ..storage.store_protocol import has_artifact
from ..trials.boost import BoostData
from ..trials.checkpoint import base_weights, load_weights, read_weights
from ..trials.cross_validation import Fold, join, split_folds
from ..trials.device import choose_device
from ..trials.features import Features, extract_features, features_path
from ..trials.trial_config import TrialConfig
from .base import WEIGHTS, base_study, find_file, pinned_base, recorded_config
from .data import StudyData, open_data

__all__ = ["WEIGHTS", "StudyContext", "load_base", "open_context"]

log = logging.getLogger(__name__)


class StudyContext:
    """One study at one worker: its handle, its artifacts, its data and the device that its trials run on."""

    def __init__(self, handle: StudyHandle, artifacts: Artifacts, data: StudyData, device: torch.device) -> None:
        self.handle = handle
        self.artifacts = artifacts
        self.manifest = data.manifest
        self.device = device
        self._data = data
        self._base: FrozenTrial | None = None
        self._datasets: dict[tuple[DataConfig, str], LeafDataset] = {}
        self._features: dict[str, Features] = {}
        self._folds: dict[int, list[Fold]] = {}

    def check_data(self) -> None:
        """Raise DataError where the files are no longer those that were opened. Cheap enough for every trial."""
        self._data.check()

    @property
    def spec(self) -> StudySpec:
        """The study's spec."""
        return self.handle.spec

    @property
    def num_classes(self) -> int:
        """How many classes the data have."""
        return len(self.manifest.classes)

    @property
    def ready(self) -> bool:
        """Whether trials can start: a decoder or booster study waits until its base has ended."""
        if self.spec.base is not None and self._base is None:
            self._base = pinned_base(self.handle)
        return self.spec.base is None or self._base is not None

    @property
    def base(self) -> FrozenTrial:
        """The frozen classifier trial of a study that is ready."""
        assert self.ready and self._base is not None
        return self._base

    def loader(self, config: TrialConfig, part: str) -> Loader:
        """Batches of one part; the decoded images are kept for the next trial."""
        # To blank the background by the mask would tell a decoder the answer.
        view = config.data.model_copy(update={"blank": 0.0}) if self.spec.kind.facts.task == "segment" else config.data
        key = (view, part)
        if key not in self._datasets:
            # One view at a time: a search over the image size must not keep every size in memory.
            self._datasets = {k: v for k, v in self._datasets.items() if k[0] == view}
            self._datasets[key] = LeafDataset(
                self.manifest.split(part), self.manifest.classes, view, train=part == "train"
            )
        return make_loader(
            self._datasets[key], batch_size=config.train.batch_size, train=part == "train", seed=config.train.seed
        )

    def network(self, config: TrialConfig) -> MultitaskNetwork:
        """The network of ``config``, with the base's weights in encoder, gate and head where there is a base."""
        # What a trial starts from must not depend on which trials this worker ran before.
        torch.manual_seed(config.train.seed)
        if self.spec.base is None:
            return build_network(config.network(self.num_classes))
        network = build_network(config.with_random_encoder().network(self.num_classes))
        load_base(network, self.base_weights())
        return network

    def base_weights(self) -> Path:
        """The base's weights as a file, downloaded once a machine.

        Raises DataError where they are gone or damaged, which no other try mends; StoreFailed where the store is away.
        """
        owner = base_study(self.handle)
        try:
            file = find_file(owner, self.base, WEIGHTS)
        except UserError as error:
            raise DataError(str(error)) from None
        path = home() / "cache" / "weights" / f"{file.sha256}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                get_file(self.artifacts, self.base, WEIGHTS, to=path, storage=owner.storage)
            except StoreFailed:
                raise
            except UserError:
                self._check_store()
                raise DataError(
                    f"the weights of base `{owner.study.study_name}:{self.base.number}` are damaged, or gone from the"
                    f" artifact store (artifact {file.artifact_id}); restore them from a backup, give the workers the"
                    " store that has them with --artifacts, or create the study anew with another base."
                ) from None
        return path

    def _check_store(self) -> None:
        """Raise StoreFailed where nothing of this database is in the store: another lies in its place."""
        mark = marker_id(self.handle.storage)
        if mark is not None and not has_artifact(self.artifacts, mark):
            raise StoreFailed(
                "the artifact store is empty of everything that the workers keep there; see whether its disk is"
                " mounted, or give the store that they use with --artifacts."
            )

    def features(self, part: str) -> Features:
        """The base's pooled features of one part, which are files of the base's study, named by their content's key.

        They are extracted once by whichever worker comes first, for every booster study on this base and these data.
        """
        if part not in self._features:
            owner, config = base_study(self.handle), recorded_config(self.base)
            cache, samples = home() / "cache" / "features", self.manifest.split(part)
            weights_hash = self.base_weights().stem
            path = features_path(cache, samples, self.manifest.classes, config.data, weights_hash=weights_hash)
            if not path.exists():
                self._fetch(owner, path)
            self._features[part] = extract_features(
                self.network(config),
                samples,
                self.manifest.classes,
                config.data,
                device=self.device,
                cache=cache,
                weights_hash=weights_hash,
            )
            put_file(self.artifacts, owner.study, path)
        return self._features[part]

    def _fetch(self, owner: StudyHandle, path: Path) -> None:
        """Fetch features that another worker has extracted; those that are damaged or gone are made anew."""
        if any(file.filename == path.name for file in list_files(owner.study)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                get_file(self.artifacts, owner.study, path.name, to=path)
            except StoreFailed:
                raise
            except UserError as error:
                log.warning("%s; the features are extracted anew", str(error).rstrip("."))

    @functools.cached_property
    def boost_data(self) -> BoostData:
        """The training part to boost on, and the validation part to stop by."""
        return BoostData(self.features("train"), self.features("val"))

    @functools.cached_property
    def whole_data(self) -> BoostData:
        """Both parts as one to boost on."""
        return BoostData(join(self.features("train"), self.features("val")), None)

    def folds(self, number: int) -> list[Fold]:
        """The validation part in folds, each beside what is learnt from for it."""
        if number not in self._folds:
            groups = [sample.group for sample in self.manifest.split("val")]
            self._folds[number] = split_folds(self.features("train"), self.features("val"), groups, folds=number)
        return self._folds[number]


def open_context(handle: StudyHandle, artifacts: Artifacts, *, device: str, data: Path | None = None) -> StudyContext:
    """Load and check the study's data and choose the device. Raises DataError, UsageError, StudyDeleted."""
    with unless_deleted(handle):
        return StudyContext(handle, artifacts, open_data(handle, artifacts, data), choose_device(device))


def load_base(network: MultitaskNetwork, path: Path) -> None:
    """Fill encoder, gate and head from a classifier trial's weights; what the decoder holds stays."""
    weights = network.state_dict() | read_weights(path)
    assert base_weights(network).keys() <= weights.keys()
    load_weights(network, weights, source=str(path))
