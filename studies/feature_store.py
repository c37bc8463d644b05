"""Features that booster trials learn from: extracted once, kept with the base study."""

import functools
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..data.manifest import Manifest
from ..errors import UserError
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, StoreFailed, get_file, list_files, put_file
from ..storage.embedded import home
from ..trials.blanked import Views, with_blanked
from ..trials.boost import BoostData
from ..trials.cross_validation import Fold, split_folds
from ..trials.features import Features, extract_features, features_path, join
from ..trials.trial_config import TrialConfig
from .frozen_base import FrozenBase

log = logging.getLogger(__name__)


class FeatureStore:
    """The base's pooled features of a study's splits.

    They are files of the base's study, named by a key of their content: the first worker that needs
    them extracts them for every booster study on this base and these data.
    """

    def __init__(
        self,
        base: FrozenBase,
        artifacts: Artifacts,
        manifest: Manifest,
        device: torch.device,
        build: Callable[[TrialConfig], MultitaskNetwork],
    ) -> None:
        self._base = base
        self._artifacts = artifacts
        self._manifest = manifest
        self._device = device
        self._build = build
        self._features: dict[tuple[str, bool], Features] = {}
        self._folds: dict[int, list[Fold]] = {}

    def split(self, name: str) -> Features:
        """Return the features of one split."""
        return self._get(name, blanked=False)

    @functools.cached_property
    def train_and_val(self) -> BoostData:
        """The training split to boost on, and the validation split to stop by."""
        return BoostData(self._views("train").features, self.split("val"))

    @functools.cached_property
    def joined(self) -> BoostData:
        """The training and the validation split as one to boost on."""
        return BoostData(join(self._views("train").features, self._views("val").features), None)

    def folds(self, number: int) -> list[Fold]:
        """Return the validation split in folds, each with the images to learn from for it."""
        if number not in self._folds:
            groups = [sample.group for sample in self._manifest.split("val")]
            self._folds[number] = split_folds(
                self._views("train").features, self.split("val"), groups, folds=number, views=self._views("val")
            )
        return self._folds[number]

    def _views(self, name: str) -> Views:
        """Return a split's images, and with the share of the base's training their blanked copies.

        A classifier that learnt from clean images alone would rely on the background again.
        """
        clean, share = self.split(name), self._base.config.data.blank
        masked = np.array([n for n, sample in enumerate(self._manifest.split(name)) if sample.mask is not None], int)
        if not share or not len(masked):
            return Views(clean, np.arange(len(clean.y)))
        return with_blanked(clean, self._get(name, blanked=True), masked, share=share)

    def _get(self, name: str, *, blanked: bool) -> Features:
        if (name, blanked) not in self._features:
            self._features[name, blanked] = self._load(name, blanked=blanked)
        return self._features[name, blanked]

    def _load(self, name: str, *, blanked: bool) -> Features:
        owner, config = self._base.study, self._base.config
        samples = [sample for sample in self._manifest.split(name) if sample.mask is not None or not blanked]
        cache, weights_hash = home() / "cache" / "features", self._base.weights().stem
        path = features_path(
            cache, samples, self._manifest.classes, config.data, weights_hash=weights_hash, blanked=blanked
        )
        if not path.exists():
            self._fetch(owner, path)
        features = extract_features(
            functools.partial(self._build, config),
            samples,
            self._manifest.classes,
            config.data,
            device=self._device,
            cache=cache,
            weights_hash=weights_hash,
            blanked=blanked,
        )
        put_file(self._artifacts, owner.study, path)
        return features

    def _fetch(self, owner: StudyHandle, path: Path) -> None:
        """Download the features that another worker extracted, unless they are damaged."""
        if any(file.filename == path.name for file in list_files(owner.study)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                get_file(self._artifacts, owner.study, path.name, to=path)
            except StoreFailed:
                raise
            except UserError as error:
                log.warning("%s; the features are extracted again", str(error).rstrip("."))
